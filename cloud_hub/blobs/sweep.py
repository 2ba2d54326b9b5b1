"""Deletes what nobody needs any more: stale uploads, their links, and bytes without a link.

Bytes are marked first, and deleted when they have stayed without a link for a grace: a build or a
registration that is under way has that long to link them. They are deleted under the lock of their
row, so a link is made before (and they stay) or after (and whoever links is told that they are gone).
A kill between deleting bytes and forgetting their row leaves the row, and the next sweep ends it.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, select

from cloud_hub.blobs.owners import uploads_of
from cloud_hub.blobs.parts import Parts, forget_others
from cloud_hub.blobs.port import ObjectStore
from cloud_hub.blobs.rows import BlobLinkRow, BlobRow, UploadRow
from cloud_hub.blobs.service import Blobs, key_of, linked
from cloud_hub.db.engine import Database
from cloud_hub.workspaces.rows import WorkspaceRow

PREFIX = "blobs/sha256"


class Sweeper:
    """Sweeps one hub's blobs; more than one may run at once."""

    def __init__(
        self,
        database: Database,
        store: ObjectStore,
        blobs: Blobs,
        parts: Parts,
        *,
        grace: timedelta,
        keep_uploads: timedelta,
    ) -> None:
        self._database = database
        self._store = store
        self._blobs = blobs
        self._parts = parts
        self._grace = grace
        self._keep_uploads = keep_uploads

    def sweep(self, now: datetime | None = None) -> int:
        """Do all of it once; return how many blobs were deleted."""
        moment = now or datetime.now(UTC)
        self.end_uploads(moment)
        self.end_upload_links(moment)
        return self.delete_bytes(moment)

    def end_uploads(self, now: datetime) -> None:
        """Forget uploads that nobody went on with, and part files that belong to none."""
        with self._database.transaction() as session:
            session.execute(delete(UploadRow).where(UploadRow.updated_at < now - self._keep_uploads))
        found = set(self._parts.ids())
        with self._database.transaction() as session:
            known = set(session.scalars(select(UploadRow.id)).all())
        forget_others(self._parts, found, known)

    def end_upload_links(self, now: datetime) -> None:
        """End the workspaces' links to what was uploaded long ago; models and outputs have their own."""
        cutoff = now - self._keep_uploads
        with self._database.transaction() as session:
            owners = [uploads_of(name) for name in session.scalars(select(WorkspaceRow.name)).all()]
            stale = session.execute(
                select(BlobLinkRow.owner, BlobLinkRow.digest)
                .where(BlobLinkRow.owner.in_(owners), BlobLinkRow.created_at < cutoff)
                .order_by(BlobLinkRow.digest)
            ).all()
        for owner, digest in stale:
            with self._database.transaction() as session:
                link = session.get(BlobLinkRow, (owner, digest))
                if link is not None and link.created_at < cutoff:
                    self._blobs.unlink(session, owner, digest)

    def delete_bytes(self, now: datetime) -> int:
        """Delete bytes that have had no link for the grace; return how many blobs."""
        cutoff = now - self._grace
        with self._database.transaction() as session:
            marked = session.scalars(select(BlobRow.digest).where(BlobRow.unlinked_at < cutoff)).all()
        return sum(self._delete(digest, cutoff) for digest in marked)

    def mark_unknown(self, now: datetime | None = None) -> int:
        """List the store, and mark bytes that no row knows of, left by a kill; return how many."""
        moment = now or datetime.now(UTC)
        with self._database.transaction() as session:
            known = {key_of(digest) for digest in session.scalars(select(BlobRow.digest)).all()}
        found = 0
        for key in self._store.keys(PREFIX):
            digest = f"sha256:{key.rpartition('/')[2]}"
            if key in known:
                continue
            with self._database.transaction() as session:
                if session.get(BlobRow, digest) is None:
                    session.add(BlobRow(digest=digest, unlinked_at=moment))
                    found += 1
        return found

    def _delete(self, digest: str, cutoff: datetime) -> bool:
        with self._database.transaction() as session:
            row = session.get(BlobRow, digest, with_for_update=True)
            if row is None or row.unlinked_at is None or row.unlinked_at >= cutoff or linked(session, digest):
                return False
            self._store.delete(key_of(digest))
            session.delete(row)
        return True
