"""Uploads that go on where they were cut: after a lost connection, a restart of the client or the hub.

The state is the hub's, found by digest: an offset in the database that is moved on after each block
is on disk. Fields and methods on the wire are those of draft-ietf-httpbis-resumable-upload-10.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from starlette.requests import ClientDisconnect

from cloud_hub.blobs import upload_rows
from cloud_hub.blobs.owners import uploads_of
from cloud_hub.blobs.parts import Part, Parts
from cloud_hub.blobs.rows import UploadRow
from cloud_hub.blobs.service import Blobs
from cloud_hub.blobs.upload_rows import UploadKey, UploadState
from cloud_hub.db.engine import Database
from cloud_hub.errors import (
    BlobGoneError,
    InvalidInputError,
    NotFoundError,
    StorageFailedError,
    TooLargeError,
    UploadBusyError,
    UploadOffsetError,
)

BLOCK_BYTES = 8 * 1024 * 1024
STALLED_S = 10.0
REMEMBERED = 1_000


class _Writer:
    """What this process remembers of an upload: its part, and when a request last wrote to it."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.owner: object | None = None
        self.last_at = 0.0
        self.finishing = False


class Uploads:
    """Unfinished uploads of all workspaces; `append` belongs on one event loop."""

    def __init__(self, database: Database, blobs: Blobs, parts: Parts, *, most_bytes: int) -> None:
        self._database = database
        self._blobs = blobs
        self.parts = parts
        self._most_bytes = most_bytes
        self._writers: dict[str, _Writer] = {}

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
        me = object()
        writer = self._claim(row.id, me)
        try:
            # Looked at again: another request may have moved it before this one had it for itself.
            row = await asyncio.to_thread(self._open, key, offset_bytes)
            if row is None:
                return await asyncio.to_thread(self.state, key)
            await self._resume(row, writer)
            arrived_bytes = await self._take(row, writer, me, body)
            if offset_bytes + arrived_bytes == row.size_bytes:
                writer.finishing = True
                await asyncio.to_thread(self._finish, key, row, writer.part)
        finally:
            if writer.owner is me:
                writer.owner, writer.finishing = None, False
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

    def _claim(self, upload: str, me: object) -> _Writer:
        if len(self._writers) > REMEMBERED:  # of uploads that were swept; a hash is computed again
            for stale in [one for one, writer in self._writers.items() if writer.owner is None]:
                self._writers.pop(stale, None)
        writer = self._writers.setdefault(upload, _Writer(self.parts.part(upload)))
        now = time.monotonic()
        if writer.finishing or (writer.owner is not None and now - writer.last_at < STALLED_S):
            raise UploadBusyError(
                "another request writes to this upload", fix="Ask in a moment where it stands."
            )
        # One that has stalled notices at its next block that the upload is no longer its own.
        writer.owner, writer.last_at = me, now
        return writer

    async def _resume(self, row: UploadRow, writer: _Writer) -> None:
        with _on_disk():
            if await asyncio.to_thread(writer.part.resume, row.offset_bytes):
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

    async def _take(self, row: UploadRow, writer: _Writer, me: object, body: AsyncIterator[bytes]) -> int:
        """Write the body in blocks, one behind the other while the next arrives; return its bytes."""
        offset_bytes = row.offset_bytes
        writing: asyncio.Task[None] | None = None
        try:
            async with aclosing(_blocks(body, row.size_bytes - offset_bytes)) as blocks:
                async for block in blocks:
                    if writing is not None:
                        await writing
                    if writer.owner is not me:
                        raise UploadBusyError("another request took this upload over")
                    writer.last_at = time.monotonic()
                    start = offset_bytes
                    offset_bytes += sum(map(len, block))
                    writing = asyncio.create_task(
                        asyncio.to_thread(self._write, row.id, writer.part, start, block)
                    )
        finally:
            if writing is not None:
                await writing  # also where the rest was refused: nobody else may write meanwhile
        return offset_bytes - row.offset_bytes

    def _write(self, upload: str, part: Part, start: int, block: list[bytes]) -> None:
        with _on_disk():
            size_bytes = part.append(start, block)
        with self._database.transaction() as session:
            upload_rows.advance(session, upload, start, start + size_bytes)

    def _finish(self, key: UploadKey, row: UploadRow, part: Part) -> None:
        with _on_disk():
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
        writer = self._writers.pop(upload, None)
        (writer.part if writer else self.parts.part(upload)).forget()


@contextmanager
def _on_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageFailedError(
            f"the hub could not keep the file ({error.strerror or 'unknown reason'})",
            fix="Make room on the hub's disk; what has arrived stays, go on with the upload.",
        ) from error


async def _blocks(body: AsyncIterator[bytes], most_bytes: int) -> AsyncGenerator[list[bytes], None]:
    """Yield a body in blocks; where the client goes away, what has come so far is the last one."""
    block: list[bytes] = []
    size_bytes = total_bytes = 0
    try:
        async for chunk in body:
            total_bytes += len(chunk)
            if total_bytes > most_bytes:
                raise TooLargeError(
                    "more bytes than the upload was begun with", fix="Begin it again with the file's size."
                )
            block.append(chunk)
            size_bytes += len(chunk)
            if size_bytes >= BLOCK_BYTES:
                yield block
                block, size_bytes = [], 0
    except ClientDisconnect:
        pass
    if size_bytes:
        yield block


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
