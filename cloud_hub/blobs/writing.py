"""One writer of an unfinished upload at a time, which makes its body durable block by block."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager

from starlette.requests import ClientDisconnect

from cloud_hub.blobs.parts import Part, Parts
from cloud_hub.errors import StorageFailedError, TooLargeError, UploadBusyError

BLOCK_BYTES = 8 * 1024 * 1024
STALLED_S = 10.0
REMEMBERED = 1_000

Advance = Callable[[int, int], None]
"""``advance(old, new)``: move the durable offset in the database."""


class _Writer:
    """What this process remembers of an upload: its part, and when a request last wrote to it."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.owner: object | None = None
        self.last_at = 0.0
        self.finishing = False


class Turn:
    """An upload that a request has for itself, until another finds that it has stalled."""

    def __init__(self, writer: _Writer, me: object) -> None:
        self._writer, self._me = writer, me
        self.part = writer.part

    def hold(self) -> None:
        """Say that it still goes on; raises `UploadBusyError` where another request has taken it over."""
        if self._writer.owner is not self._me:
            raise UploadBusyError("another request took this upload over")
        self._writer.last_at = time.monotonic()

    def finish(self) -> None:
        """Let nobody take it over any more: all bytes are there."""
        self._writer.finishing = True


class Writers:
    """The writers of this process, by upload; on one event loop."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._writers: dict[str, _Writer] = {}

    @contextmanager
    def turn(self, upload: str) -> Iterator[Turn]:
        """Have an upload for oneself in the block; raises `UploadBusyError` while another request writes."""
        me = object()
        writer = self._claim(upload, me)
        try:
            yield Turn(writer, me)
        finally:
            if writer.owner is me:
                writer.owner, writer.finishing = None, False

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

    async def take(
        self, turn: Turn, start_bytes: int, body: AsyncIterator[bytes], advance: Advance, full: "Full"
    ) -> int:
        """Write the body in blocks, one behind the other while the next arrives; return its bytes.

        A body that is cut off counts as far as it came. Raises `UploadBusyError` where the turn was taken
        over, and the error of ``full`` for more bytes than that.
        """
        offset_bytes = start_bytes
        writing: asyncio.Task[None] | None = None
        try:
            async with aclosing(_blocks(body, full)) as blocks:
                async for block in blocks:
                    if writing is not None:
                        await writing
                    turn.hold()
                    start = offset_bytes
                    offset_bytes += sum(map(len, block))
                    writing = asyncio.create_task(asyncio.to_thread(_write, turn.part, start, block, advance))
        finally:
            if writing is not None:
                await writing  # also where the rest was refused: nobody else may write meanwhile
        return offset_bytes - start_bytes

    def forget(self, upload: str) -> None:
        """Delete what has arrived of an upload."""
        writer = self._writers.pop(upload, None)
        (writer.part if writer else self.parts.part(upload)).forget()


class Full:
    """How many bytes may still come, and the error for more of them."""

    def __init__(self, left_bytes: int, error: TooLargeError) -> None:
        self.left_bytes = left_bytes
        self.error = error


@contextmanager
def on_disk() -> Iterator[None]:
    """Tell of a disk that does not take what was sent as `StorageFailedError`."""
    try:
        yield
    except OSError as error:
        raise StorageFailedError(
            f"the hub could not keep the file ({error.strerror or 'unknown reason'})",
            fix="Make room on the hub's disk; what has arrived stays, go on with the upload.",
        ) from error


def _write(part: Part, start: int, block: list[bytes], advance: Advance) -> None:
    with on_disk():
        size_bytes = part.append(start, block)
    advance(start, start + size_bytes)


async def _blocks(body: AsyncIterator[bytes], full: Full) -> AsyncGenerator[list[bytes], None]:
    """Yield a body in blocks; where the client goes away, what has come so far is the last one."""
    block: list[bytes] = []
    size_bytes = total_bytes = 0
    try:
        async for chunk in body:
            total_bytes += len(chunk)
            if total_bytes > full.left_bytes:
                raise full.error
            block.append(chunk)
            size_bytes += len(chunk)
            if size_bytes >= BLOCK_BYTES:
                yield block
                block, size_bytes = [], 0
    except ClientDisconnect:
        pass
    if size_bytes:
        yield block
