"""Which external registry a workspace's images go to."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import exists, func, literal, or_, select
from sqlalchemy.orm import Session

from cloud_hub.audit.actor import Actor
from cloud_hub.audit.service import Audit
from cloud_hub.blobs.rows import BlobLinkRow
from cloud_hub.db.engine import Database
from cloud_hub.errors import InvalidInputError
from cloud_hub.image_stores.outside import OutsideRegistries
from cloud_hub.image_stores.rows import ImageStoreRow
from cloud_hub.oci_client.errors import RegistryDeniedError, RegistryError, RegistryNotFoundError
from cloud_hub.oci_client.push import put_blob
from cloud_hub.oci_client.references import HOST, PATH
from cloud_hub.outbound.errors import OutboundFailedError, OutboundTooLargeError
from cloud_hub.registry.rows import ManifestRow
from contract.digests import sha256

HUB: Final = "hub:"
TRIAL: Final = "headland-check"
TRIAL_DATA: Final = b"{}"


class ImageStoreUnusableError(InvalidInputError):
    """The registry that was to be a workspace's image store cannot be used, so nothing was changed."""

    code = "image-store-unusable"


@contextmanager
def _unusable(url: str) -> Iterator[None]:
    """Tell whoever gave an address that it is of no use; why a registry lets nobody in is told as it is."""
    try:
        yield
    except (RegistryNotFoundError, RegistryDeniedError):
        raise
    except (RegistryError, OutboundFailedError, OutboundTooLargeError) as error:
        raise ImageStoreUnusableError(
            f"the registry cannot be used, {error.what}", where=url, fix="Check the address; is it up?"
        ) from error


@dataclass(frozen=True)
class ImageStoreState:
    """Where new images go (``hub:`` or an address), what waits to go there, and why."""

    url: str
    secret: str | None = None
    pending_blobs: int = 0
    problem_code: str | None = None
    problem_what: str | None = None
    problem_since: datetime | None = None


class ImageStores:
    """The choice of all workspaces."""

    def __init__(self, database: Database, outside: OutsideRegistries, audit: Audit) -> None:
        self._database = database
        self._outside = outside
        self._audit = audit

    def choose(self, workspace: str, url: str, secret: str | None, by: Actor) -> ImageStoreState:
        """Let new images go to a registry, which is tried first, or (``hub:``) stay on the hub.

        What is outside already stays where it is, until another registry is chosen: then it goes there.
        Raises `InvalidInputError`, `NotFoundError` for the secret, `RegistryError`, `OutboundRefusedError`.
        """
        place = None if url == HUB else parse_store(url)
        if place is not None:
            registry, path = place
            door = self._outside.door(workspace, registry, secret)
            trial = f"{path or workspace}/{TRIAL}"
            with _unusable(url):
                put_blob(door, trial, sha256(TRIAL_DATA), len(TRIAL_DATA), lambda: iter([TRIAL_DATA]))
        with self._database.transaction() as session:
            query = select(ImageStoreRow).where(ImageStoreRow.workspace == workspace)
            for row in session.scalars(query.with_for_update()).all():
                row.is_current = False
            if place is not None:
                _make_current(session, workspace, place, secret, by)
            self._audit.record(session, by, "workspace.set-image-store", url_of(place), workspace=workspace)
        return self.state(workspace)

    def state(self, workspace: str) -> ImageStoreState:
        """Return where new images go, and what waits."""
        with self._database.reading() as session:
            row = current_of(session, workspace)
            if row is None:
                return ImageStoreState(HUB)
            return ImageStoreState(
                url=url_of((row.host, row.path)),
                secret=row.secret,
                pending_blobs=len(pending(session, row)),
                problem_code=row.problem_code,
                problem_what=row.problem_what,
                problem_since=row.problem_since,
            )


def parse_store(url: str) -> tuple[str, str]:
    """Return ``host[:port]`` and path of ``https://host[:port][/path]``; raises `InvalidInputError`."""
    rest = url.removeprefix("https://")
    host, _, path = rest.rstrip("/").partition("/")
    if not HOST.fullmatch(host) or (path and not PATH.fullmatch(path)) or len(path) > 200:
        raise InvalidInputError(
            "it is no address of a registry",
            where="url",
            fix="Write https://host[:port]/path, with a project in the path where the registry has them.",
        )
    return host.lower(), path


def url_of(place: tuple[str, str] | None) -> str:
    """Return the address of a store, ``hub:`` for the hub's own."""
    if place is None:
        return HUB
    return f"https://{place[0]}" + (f"/{place[1]}" if place[1] else "")


def current_of(session: Session, workspace: str) -> ImageStoreRow | None:
    """Return where new images of a workspace go, if it is outside."""
    query = select(ImageStoreRow).where(ImageStoreRow.workspace == workspace, ImageStoreRow.is_current)
    return session.scalars(query).first()


def place_of(store: ImageStoreRow, image: str) -> str:
    """Return where a store has an image, ``{store}:{path}/{image}``; without a path by workspace."""
    return f"{store.id}:{store.path or store.workspace}/{image}"


def pending(session: Session, store: ImageStoreRow) -> list[BlobLinkRow]:
    """Return the links of blobs that a store does not have yet; manifests are none of them."""
    is_manifest = exists().where(
        ManifestRow.repository == BlobLinkRow.owner, ManifestRow.digest == BlobLinkRow.digest
    )
    image = func.substr(BlobLinkRow.owner, len(store.workspace) + 2)
    query = select(BlobLinkRow).where(
        BlobLinkRow.owner.startswith(f"{store.workspace}/", autoescape=True),
        # Another repository of the same registry is another place: there a manifest could not name it.
        or_(BlobLinkRow.place.is_(None), BlobLinkRow.place != literal(place_of(store, "")) + image),
        ~is_manifest,
    )
    return list(session.scalars(query.order_by(BlobLinkRow.owner, BlobLinkRow.created_at)).all())


def _make_current(
    session: Session, workspace: str, place: tuple[str, str], secret: str | None, by: Actor
) -> None:
    host, path = place
    query = select(ImageStoreRow).where(
        ImageStoreRow.workspace == workspace, ImageStoreRow.host == host, ImageStoreRow.path == path
    )
    row = session.scalars(query).one_or_none()
    if row is None:
        row = ImageStoreRow(
            workspace=workspace,
            host=host,
            path=path,
            created_by=by.principal,
            created_at=datetime.now(UTC),
        )
        session.add(row)
    row.is_current, row.secret = True, secret
    row.problem_code = row.problem_what = row.problem_since = None
