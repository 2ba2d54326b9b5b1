"""Carries images out to external registries: blobs, then manifests, then tags; done again it does nothing."""

import logging
from collections import defaultdict
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_hub.blobs.rows import BlobLinkRow
from cloud_hub.blobs.service import Blobs
from cloud_hub.db.engine import Database
from cloud_hub.errors import HubError
from cloud_hub.image_stores.outside import OutsideRegistries
from cloud_hub.image_stores.rows import ImageStoreRow, StoredRow
from cloud_hub.image_stores.service import pending, place_of
from cloud_hub.oci_client.push import delete_manifest, put_blob, put_manifest
from cloud_hub.oci_client.requests import RegistryRequests
from cloud_hub.registry.names import image_of
from cloud_hub.registry.rows import ManifestRow, TagRow
from contract.oci import INDEX

log = logging.getLogger(__name__)


class ImageMover:
    """Moves what is on the hub to where its workspace's images go; several may run at once."""

    def __init__(self, database: Database, blobs: Blobs, outside: OutsideRegistries) -> None:
        self._database = database
        self._blobs = blobs
        self._outside = outside

    def move_all(self) -> int:
        """Do it for all workspaces; return how many blobs, manifests and tags went out.

        What goes wrong with one store is written into its row and the log, and does not stop the others.
        """
        with self._database.reading() as session:
            stores = session.scalars(select(ImageStoreRow).where(ImageStoreRow.is_current)).all()
        return sum(self._try(store) for store in stores)

    def move(self, store: ImageStoreRow) -> int:
        """Do it for one store; raises `HubError`."""
        moved = 0
        door: RegistryRequests | None = None
        with self._database.reading() as session:
            links = pending(session, store)
            manifests = _manifests(session, store)
            tags = _tags(session, store)
            gone = _gone(session, store)
        if links or manifests or tags or gone:
            door = self._outside.door(store.workspace, store.host, store.secret)
        if door is None:
            return 0
        for link in links:
            self._move_blob(door, store, link)
            moved += 1
        for reference, row in [*((row.digest, row) for row in manifests), *tags]:
            self._put(door, store, reference, row)
            moved += 1
        for stored in gone:
            self._forget(door, stored)
        return moved

    def _try(self, store: ImageStoreRow) -> int:
        try:
            moved = self.move(store)
        except (HubError, OSError) as error:
            log.warning("images of %s wait for %s: %s", store.workspace, store.host, error)
            code, what = (error.code, error.what) if isinstance(error, HubError) else ("storage-failed", "")
            self._tell(store, code, what or "a file could not be read")
            return 0
        if moved or store.problem_code is not None:
            self._tell(store, None, None)
        return moved

    def _tell(self, store: ImageStoreRow, code: str | None, what: str | None) -> None:
        with self._database.transaction() as session:
            row = session.get(ImageStoreRow, store.id)
            if row is not None:
                kept = row.problem_since if row.problem_code is not None else datetime.now(UTC)
                row.problem_code, row.problem_what = code, what
                row.problem_since = kept if code is not None else None

    def _move_blob(self, door: RegistryRequests, store: ImageStoreRow, link: BlobLinkRow) -> None:
        place = place_of(store, image_of(link.owner))
        same_store, _, source = (link.place or "").partition(":")
        put_blob(
            door,
            place.partition(":")[2],
            link.digest,
            link.size_bytes,
            lambda: self._blobs.read(link.digest, owner=link.owner),
            mount_from=source if same_store == str(store.id) else "",
        )
        with self._database.transaction() as session:
            self._blobs.move_out(session, link.owner, link.digest, place)

    def _put(self, door: RegistryRequests, store: ImageStoreRow, reference: str, row: ManifestRow) -> None:
        place = place_of(store, image_of(row.repository))
        data = self._blobs.read_small(row.digest)
        put_manifest(door, place.partition(":")[2], reference, data, row.media_type)
        with self._database.transaction() as session:
            session.merge(
                StoredRow(repository=row.repository, reference=reference, digest=row.digest, place=place)
            )

    def _forget(self, door: RegistryRequests, stored: StoredRow) -> None:
        if stored.reference == stored.digest:
            delete_manifest(door, stored.place.partition(":")[2], stored.digest)
        with self._database.transaction() as session:
            row = session.get(StoredRow, (stored.repository, stored.reference))
            if row is not None:
                session.delete(row)


def _stored(session: Session, store: ImageStoreRow) -> dict[str, dict[str, StoredRow]]:
    """Return what a store has, by repository and reference."""
    query = select(StoredRow).where(
        StoredRow.repository.startswith(f"{store.workspace}/", autoescape=True),
        StoredRow.place.startswith(f"{store.id}:"),
    )
    found: dict[str, dict[str, StoredRow]] = defaultdict(dict)
    for row in session.scalars(query):
        found[row.repository][row.reference] = row
    return found


def _manifests(session: Session, store: ImageStoreRow) -> list[ManifestRow]:
    """Return the manifests that a store does not have, each after what it names."""
    stored = _stored(session, store)
    query = select(ManifestRow).where(
        ManifestRow.repository.startswith(f"{store.workspace}/", autoescape=True)
    )
    rows = [row for row in session.scalars(query) if row.digest not in stored[row.repository]]
    # The hub took each in only when what it names was there.
    return sorted(rows, key=lambda row: (row.created_at, row.media_type == INDEX, row.digest))


def _tags(session: Session, store: ImageStoreRow) -> list[tuple[str, ManifestRow]]:
    stored = _stored(session, store)
    query = (
        select(TagRow, ManifestRow)
        .join(
            ManifestRow, (ManifestRow.repository == TagRow.repository) & (ManifestRow.digest == TagRow.digest)
        )
        .where(TagRow.repository.startswith(f"{store.workspace}/", autoescape=True))
        .order_by(TagRow.repository, TagRow.tag)
    )
    found = []
    for tag, row in session.execute(query).all():
        known = stored[tag.repository].get(tag.tag)
        if known is None or known.digest != tag.digest:
            found.append((tag.tag, row))
    return found


def _gone(session: Session, store: ImageStoreRow) -> list[StoredRow]:
    """Return what a store has and the hub has no more."""
    found = []
    for repository, rows in _stored(session, store).items():
        for row in rows.values():
            there = (
                session.get(ManifestRow, (repository, row.digest))
                if row.reference == row.digest
                else session.get(TagRow, (repository, row.reference))
            )
            if there is None:
                found.append(row)
    return found
