"""Uploads that go on where they were cut: after a lost connection, a restart of the client or the hub.

The state is the hub's, found by digest: an offset in the database that is moved on after each block
is on disk. Fields and methods on the wire are those of draft-ietf-httpbis-resumable-upload-10.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cloud_hub.blobs import upload_rows
from cloud_hub.blobs.owners import uploads_of
from cloud_hub.blobs.parts import Part, Parts
from cloud_hub.blobs.rows import UploadRow
from cloud_hub.blobs.service import Blobs
from cloud_hub.blobs.upload_rows import UploadKey, UploadState
from cloud_hub.blobs.writing import Full, Turn, Writers, on_disk
from cloud_hub.db.engine import Database
from cloud_hub.errors import (
    BlobGoneError,
    InvalidInputError,
    NotFoundError,
    TooLargeError,
    UploadOffsetError,
)


class Uploads:
    """Unfinished uploads of all workspaces; `append` belongs on one event loop."""

    def __init__(self, database: Database, blobs: Blobs, parts: Parts, *, most_bytes: int) -> None:
        self._database = database
        self._blobs = blobs
        self.parts = parts
        self._most_bytes = most_bytes
        self._writers = Writers(parts)

    def begin(self, key: UploadKey, size_bytes: int) -> UploadState:
        """Begin an upload, or return how far the same one is; complete where the workspace has the file.

        Raises `TooLargeError`, and `InvalidInputError` where it was begun with another size.
        """
        if size_bytes > self._most_bytes:
            raise too_large(self._most_bytes)
        try:
            with self._database.transaction() as session:
                known = self._known(session, key)
                if known is not None and not known.complete and known.size_bytes != size_bytes:
                    raise InvalidInputError(
                        f"the upload was begun with {known.size_bytes} bytes",
                        where=key.digest,
                        fix="A digest has one size: compute both again.",
                    )
                return known or _state(upload_rows.make(session, key, size_bytes))
        except IntegrityError:  # begun at the same moment by the same person
            return self.state(key)

    def state(self, key: UploadKey) -> UploadState:
        """Return how far an upload is; raises `NotFoundError`."""
        with self._database.reading() as session:
            known = self._known(session, key)
        if known is None:
            raise NotFoundError("no such upload", where=key.digest, fix="Begin it.")
        return known

    def cancel(self, key: UploadKey) -> None:
        """Forget an upload and what has arrived of it; no error where there is none."""
        with self._database.transaction() as session:
            row = upload_rows.find(session, key)
            if row is not None:
                session.delete(row)
        if row is not None:
            self._forget(row.id)

    async def append(self, key: UploadKey, offset_bytes: int, body: AsyncIterator[bytes]) -> UploadState:
        """Take bytes in that begin at ``offset_bytes``; a body that is cut off counts as far as it came.

        Raises `UploadOffsetError` where the upload is elsewhere, `UploadBusyError` while another request
        writes to it, `TooLargeError` for more bytes than it was begun with, and `InvalidInputError` where
        the whole does not have the digest; the upload then begins anew.
        """
        row = await asyncio.to_thread(self._open, key, offset_bytes)
        if row is None:
            return await asyncio.to_thread(self.state, key)
        with self._writers.turn(row.id) as turn:
            # Looked at again: another request may have moved it before this one had it for itself.
            row = await asyncio.to_thread(self._open, key, offset_bytes)
            if row is None:
                return await asyncio.to_thread(self.state, key)
            await self._resume(row, turn.part)
            arrived_bytes = await self._take(row, turn, body)
            if offset_bytes + arrived_bytes == row.size_bytes:
                turn.finish()
                await asyncio.to_thread(self._finish, key, row, turn.part)
        return await asyncio.to_thread(self.state, key)

    async def put(self, key: UploadKey, size_bytes: int, body: AsyncIterator[bytes]) -> UploadState:
        """Take a whole file in; what had arrived of it before is not written again."""
        state = await asyncio.to_thread(self.begin, key, size_bytes)
        if state.complete:
            async for _ in body:  # so that the connection can be used again
                pass
            return state
        state = await self.append(key, state.offset_bytes, _behind(body, state.offset_bytes))
        if not state.complete:
            raise InvalidInputError("the file was cut off", where=key.digest, fix="Go on with the upload.")
        return state

    def _known(self, session: Session, key: UploadKey) -> UploadState | None:
        try:
            link = self._blobs.find_in(session, key.workspace, key.digest)
        except NotFoundError:
            row = upload_rows.find(session, key)
            return _state(row) if row is not None else None
        return UploadState(key.digest, link.size_bytes, link.size_bytes, complete=True)

    def _open(self, key: UploadKey, offset_bytes: int) -> UploadRow | None:
        """Return the row of an upload that stands at an offset; None where there is nothing left to do."""
        state = self.state(key)
        if state.offset_bytes != offset_bytes:
            raise UploadOffsetError(
                f"the upload stands at {state.offset_bytes}, not at {offset_bytes}",
                where=key.digest,
                fix="Ask where it stands, and go on from there.",
            )
        if state.complete:
            return None
        with self._database.reading() as session:
            return upload_rows.find(session, key)

    async def _resume(self, row: UploadRow, part: Part) -> None:
        with on_disk():
            if await asyncio.to_thread(part.resume, row.offset_bytes):
                return
        if row.verified_at is not None and self._blobs.exists(row.digest):
            return  # killed after the file was moved into the store, before it was linked
        await asyncio.to_thread(self._start_over, row)
        raise UploadOffsetError(
            "what had arrived is lost", where=row.digest, fix="Send the file from its beginning."
        )

    def _start_over(self, row: UploadRow) -> None:
        with self._database.transaction() as session:
            upload_rows.advance(session, row.id, row.offset_bytes, 0)

    async def _take(self, row: UploadRow, turn: Turn, body: AsyncIterator[bytes]) -> int:
        def advance(old: int, new: int) -> None:
            with self._database.transaction() as session:
                upload_rows.advance(session, row.id, old, new)

        more = TooLargeError(
            "more bytes than the upload was begun with", fix="Begin it again with the file's size."
        )
        full = Full(row.size_bytes - row.offset_bytes, more)
        return await self._writers.take(turn, row.offset_bytes, body, advance, full)

    def _finish(self, key: UploadKey, row: UploadRow, part: Part) -> None:
        with on_disk():
            path = part.whole(row.size_bytes)
        if path is not None:
            if part.digest() != key.digest:
                self.cancel(key)
                raise InvalidInputError(
                    "the bytes that arrived do not have that digest",
                    where=key.digest,
                    fix="Upload the file again.",
                )
            with self._database.transaction() as session:
                known = session.get(UploadRow, row.id)
                if known is None:  # another hub has finished it meanwhile
                    self._forget(row.id)
                    return
                known.verified_at = datetime.now(UTC)

        def forget_row(session: Session) -> None:
            found = session.get(UploadRow, row.id)
            if found is not None:
                session.delete(found)

        try:
            self._blobs.adopt(key.digest, path, uploads_of(key.workspace), row.size_bytes, forget_row)
        except BlobGoneError:
            self.cancel(key)
            raise
        self._forget(row.id)

    def _forget(self, upload: str) -> None:
        self._writers.forget(upload)


async def _behind(body: AsyncIterator[bytes], skipped_bytes: int) -> AsyncIterator[bytes]:
    left = skipped_bytes
    async for chunk in body:
        yield chunk[left:]
        left = max(0, left - len(chunk))


def too_large(most_bytes: int) -> TooLargeError:
    """Return the error for a file beyond the hub's bound."""
    return TooLargeError(
        f"a file may have {most_bytes} bytes", fix="Raise max_model_bytes in the hub's settings."
    )


def _state(row: UploadRow) -> UploadState:
    return UploadState(row.digest, row.offset_bytes, row.size_bytes, complete=False)
