"""Blobs on their way into a repository: upload sessions, and mounts from another repository.

A session's state is the hub's, in the database, and its bytes are where those of all uploads are
(`cloud_hub.blobs.parts`): it goes on after a restart, and at another hub. Its digest comes at the end.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from sqlalchemy import update
from sqlalchemy.orm import Session

from cloud_hub.blobs.parts import Part, Parts
from cloud_hub.blobs.rows import BlobLinkRow
from cloud_hub.blobs.service import OCTETS, Blobs
from cloud_hub.blobs.uploads import too_large
from cloud_hub.blobs.writing import Full, Turn, Writers, on_disk
from cloud_hub.db.engine import Database
from cloud_hub.errors import BlobGoneError
from cloud_hub.registry import graph, push_rows
from cloud_hub.registry.errors import DigestInvalidError, PushUnknownError, RangeInvalidError
from cloud_hub.registry.push_rows import PushKey
from cloud_hub.registry.rows import PushRow, UnreachedRow


class Pushes:
    """Upload sessions of all repositories; `append` and `finish` belong on one event loop."""

    def __init__(self, database: Database, blobs: Blobs, parts: Parts, *, most_bytes: int) -> None:
        self._database = database
        self._blobs = blobs
        self._most_bytes = most_bytes
        self.parts = parts
        self._writers = Writers(parts)

    def begin(self, repository: str, principal: str) -> PushKey:
        """Begin a session."""
        with self._database.transaction() as session:
            return push_rows.make(session, repository, principal)

    def offset(self, key: PushKey) -> int:
        """Return how many bytes have arrived; raises `PushUnknownError`."""
        with self._database.reading() as session:
            return push_rows.find(session, key).offset_bytes

    def cancel(self, key: PushKey) -> None:
        """Forget a session and what has arrived; raises `PushUnknownError`."""
        with self._database.transaction() as session:
            session.delete(push_rows.find(session, key))
        self._writers.forget(key.id)

    def mount(self, repository: str, digest: str, source: str) -> bool:
        """Link a blob of another repository, which the caller may read; False where that has it not."""
        with self._database.transaction() as session:
            link = session.get(BlobLinkRow, (source, digest))
            if link is None:
                return False
            try:
                self._blobs.link(session, repository, digest, link.size_bytes, OCTETS)
            except BlobGoneError:
                return False
            _arrived(session, repository, digest)
        return True

    async def append(self, key: PushKey, start: int | None, body: AsyncIterator[bytes]) -> int:
        """Take a part of the blob that begins at ``start`` (None: where the upload stands).

        What arrives counts, also of a body that is cut off. Return where the upload stands then.
        Raises `RangeInvalidError`, `UploadBusyError`, `TooLargeError` and `PushUnknownError`.
        """
        _check_id(key)
        with self._writers.turn(key.id) as turn:
            return await self._append(key, turn, start, body)

    async def finish(self, key: PushKey, digest: str, start: int | None, body: AsyncIterator[bytes]) -> None:
        """Take the last part, which may be empty, and give the blob to the repository.

        Raises what `append` does, and `DigestInvalidError`, which ends the session.
        """
        _check_id(key)
        with self._writers.turn(key.id) as turn:
            if not await asyncio.to_thread(self._moved_before, key, digest):
                size_bytes = await self._append(key, turn, start, body)
                turn.finish()
                await asyncio.to_thread(self._adopt, key, digest, turn.part, size_bytes)
        self._writers.forget(key.id)

    async def _append(self, key: PushKey, turn: Turn, start: int | None, body: AsyncIterator[bytes]) -> int:
        offset_bytes = await asyncio.to_thread(self.offset, key)
        if start is not None and start != offset_bytes:
            raise RangeInvalidError(
                f"the upload stands at {offset_bytes}, not at {start}",
                where="Content-Range",
                fix="Ask where it stands (GET), and go on from there.",
            )
        with on_disk():
            whole = await asyncio.to_thread(turn.part.resume, offset_bytes)
        if not whole:
            await asyncio.to_thread(self.cancel, key)
            raise PushUnknownError("what had arrived is lost", where=key.id, fix="Begin it again.")

        def advance(old: int, new: int) -> None:
            with self._database.transaction() as session:
                push_rows.advance(session, key.id, old, new)

        full = Full(self._most_bytes - offset_bytes, too_large(self._most_bytes))
        return offset_bytes + await self._writers.take(turn, offset_bytes, body, advance, full)

    def _moved_before(self, key: PushKey, digest: str) -> bool:
        """End a session that was cut after its file went into the store, and before it was linked."""
        with self._database.transaction() as session:
            row = push_rows.find(session, key)
            if row.verified != digest or not self._blobs.exists(digest):
                return False
            self._link(session, row, digest)
        return True

    def _adopt(self, key: PushKey, digest: str, part: Part, size_bytes: int) -> None:
        with on_disk():
            path = part.whole(size_bytes)
        if path is None or part.digest() != digest:
            self.cancel(key)
            raise DigestInvalidError(
                "the bytes that arrived do not have that digest", where=digest, fix="Upload the blob again."
            )
        with self._database.transaction() as session:
            push_rows.find(session, key).verified = digest

        def also(session: Session) -> None:
            session.delete(push_rows.find(session, key))
            _arrived(session, key.repository, digest)

        self._blobs.adopt(digest, path, key.repository, size_bytes, also)

    def _link(self, session: Session, row: PushRow, digest: str) -> None:
        self._blobs.link(session, row.repository, digest, row.offset_bytes, OCTETS)
        _arrived(session, row.repository, digest)
        session.delete(row)


def _check_id(key: PushKey) -> None:
    """Refuse an id that no session has, before a part is called by it."""
    if not push_rows.ID.fullmatch(key.id):
        raise push_rows.unknown(key.id)


def _arrived(session: Session, repository: str, digest: str) -> None:
    """Begin the grace of what nothing names yet: of this blob, and of those that came before it."""
    now = datetime.now(UTC)
    session.execute(update(UnreachedRow).where(UnreachedRow.repository == repository).values(since=now))
    if not graph.is_reached(session, repository, digest) and not graph.is_manifest(
        session, repository, digest
    ):
        graph.mark(session, repository, digest, now)
