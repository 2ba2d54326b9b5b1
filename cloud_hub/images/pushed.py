"""Registration of an image that another tool pushed: what is under a tag becomes the next version."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from cloud_hub.audit.actor import Actor
from cloud_hub.audit.service import Audit
from cloud_hub.db.engine import Database
from cloud_hub.errors import ImageRefusedError, NotFoundError
from cloud_hub.images.attached import packages_of
from cloud_hub.images.platforms import (
    ImagePlatform,
    base_in,
    compressions_in,
    is_agent,
    read_platforms,
    size_of,
)
from cloud_hub.images.registration import NewImage, register
from cloud_hub.images.rows import ImageRow
from cloud_hub.models.labels import check_description, check_labels
from cloud_hub.models.service import find_model
from cloud_hub.registry.names import repository_of
from cloud_hub.registry.service import Registry
from contract.agent_release import KIND
from contract.ids import check_name, split_versioned

MOST_DOCUMENT_BYTES = 4 * 1024**2
"""Devices read no larger manifest or configuration."""
PUSHED = "pushed"


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """An image that is in the repository ``workspace/name`` under ``reference``, a tag or a digest."""

    name: str
    reference: str
    models: Sequence[str] = ()
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


class PushedImages:
    """Registers what was pushed.

    ``starting`` opens the transaction of a registration (`Activities.starting`), in which ``registered`` is
    called with the new version, and may start activities.
    """

    def __init__(
        self,
        database: Database,
        registry: Registry,
        audit: Audit,
        starting: Callable[[], AbstractContextManager[Session]],
        registered: Callable[[Session, ImageRow], None],
    ) -> None:
        self._database = database
        self._registry = registry
        self._audit = audit
        self._starting = starting
        self._registered = registered

    def register(self, workspace: str, pushed: Pushed, by: Actor) -> ImageRow:
        """Register what was pushed as the next version; all of it must be there.

        Raises `NotFoundError` where the repository has no such tag or digest, or there is no such model, and
        `ImageRefusedError` where it is no image that a device can run, or is not whole.
        """
        check_name(pushed.name, where="image name")
        check_labels(pushed.tags, kind="tags")
        check_description(pushed.description)
        registry, repository = self._registry, repository_of(workspace, pushed.name)
        digest = registry.manifest(repository, pushed.reference).digest
        with self._database.reading() as session:
            found = _look_at(session, registry, repository, digest)
            packages = packages_of(session, registry, repository, digest, found.platforms)
        with self._starting() as session:
            _require_all(session, registry, repository, {digest: None} | found.sizes)
            row = register(session, _new(session, workspace, pushed, by, digest, found, packages))
            registry.set_tag(session, repository, str(row.version), digest)
            target = f"{row.name}:{row.version}"
            details = {"from": pushed.reference, "digest": digest}
            self._audit.record(session, by, "image.register", target, workspace=workspace, details=details)
            self._registered(session, row)
        return row


def _new(
    session: Session,
    workspace: str,
    pushed: Pushed,
    by: Actor,
    digest: str,
    found: "_Found",
    packages: Sequence[str],
) -> NewImage:
    return NewImage(
        workspace=workspace,
        name=pushed.name,
        digest=digest,
        size_bytes=found.size_bytes,
        platforms=found.platforms,
        models=tuple(_model(session, workspace, name) for name in pushed.models),
        base=found.base,
        compression=found.compression,
        kind=found.kind,
        description=pushed.description,
        tags=pushed.tags,
        packages=packages,
        created_by=by.principal,
    )


@dataclass(frozen=True)
class _Found:
    """``sizes``: bytes of all that must be there, None where its document does not say."""

    platforms: tuple[ImagePlatform, ...]
    size_bytes: int
    base: str
    compression: str
    kind: str
    sizes: dict[str, int | None]


def _look_at(session: Session, registry: Registry, repository: str, digest: str) -> _Found:
    read_already: dict[str, bytes] = {}

    def read(one: str) -> bytes:
        if one not in read_already:
            size_bytes = _size(session, registry, repository, one)
            if size_bytes > MOST_DOCUMENT_BYTES:
                raise ImageRefusedError(
                    f"a manifest or configuration may have {MOST_DOCUMENT_BYTES} bytes, it has {size_bytes}",
                    where=one,
                )
            read_already[one] = registry.blobs.read_small(one)
        return read_already[one]

    platforms = read_platforms(digest, read)
    sizes: dict[str, int | None] = {
        layer.digest: layer.size_bytes for one in platforms for layer in one.layers
    }
    _require_all(session, registry, repository, sizes)
    total = size_of(read(digest), platforms, read)
    manifests = [read(one.digest) for one in platforms]
    return _Found(
        platforms,
        total,
        base_in(manifests),
        compressions_in(manifests),
        KIND if all(is_agent(manifest) for manifest in manifests) else PUSHED,
        {**dict.fromkeys(read_already), **sizes},
    )


def _require_all(
    session: Session, registry: Registry, repository: str, sizes: Mapping[str, int | None]
) -> None:
    for digest, said in sizes.items():
        size_bytes = _size(session, registry, repository, digest)
        if said is not None and size_bytes != said:
            raise ImageRefusedError(f"the manifest says {said} bytes, it has {size_bytes}", where=digest)


def _size(session: Session, registry: Registry, repository: str, digest: str) -> int:
    try:
        return registry.blobs.find(session, repository, digest).size_bytes
    except NotFoundError as error:
        raise ImageRefusedError(
            "the repository does not have all of the image",
            where=digest,
            fix="Push it again, with all of its platforms.",
        ) from error


def _model(session: Session, workspace: str, name: str) -> int:
    return find_model(session, workspace, *split_versioned(name, where="model")).id
