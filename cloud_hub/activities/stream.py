"""An activity as server-sent events (WHATWG HTML, "Server-sent events"), polled from the database.

An event's id is the number of the last line that was sent: who comes back with it as Last-Event-ID gets
the next line, whichever process answers. `end` is the id of the end.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from cloud_hub.activities.errors import TooManyStreamsError
from cloud_hub.activities.rows import ENDED, ActivityRow
from cloud_hub.activities.service import News
from cloud_hub.errors import CredentialError, ForbiddenError, InvalidInputError, NotFoundError
from contract.errors import HeadlandError

POLL_S = 0.5
HEARTBEAT_S = 15.0
CHECK_S = 2.0
RETRY_MS = 2_000
END = "end"


class Streams:
    """Counts the streams of this process; at most ``at_once`` are open."""

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self.open = 0
        self.closing = False

    def enter(self) -> None:
        """Take a place; raises `TooManyStreamsError`."""
        if self.open >= self.at_once:
            raise TooManyStreamsError("too many event streams are open at once", fix="Try again later.")
        self.open += 1

    def leave(self) -> None:
        """Give the place back."""
        self.open -= 1

    def close(self) -> None:
        """Let every stream end at its next look."""
        self.closing = True


class EventStream(StreamingResponse):
    """An answer that holds a place in ``streams``, which the caller has entered, until it is over."""

    def __init__(self, body: AsyncIterator[bytes], streams: Streams) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(body, media_type="text/event-stream", headers=headers)
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; the place is free again however that ends."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._streams.leave()


def read_last_id(value: str | None) -> int | None:
    """Return the number of the last line that the client has, None where it has the end already."""
    if value is None or value == "":
        return 0
    if value == END:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 10):
        raise InvalidInputError("Last-Event-ID is none that this hub gives", where="Last-Event-ID")
    return int(value)


async def events(
    look: Callable[[int], Awaitable[News]],
    check: Callable[[], Awaitable[object]],
    streams: Streams,
    after: int,
) -> AsyncIterator[bytes]:
    """Yield the stream: lines after number ``after``, progress, the end; comments where it is quiet.

    ``look(after)`` reads the activity, ``check()`` raises once the caller may no longer read it.
    """
    shown: tuple[object, ...] = ()
    said_at = checked_at = time.monotonic()
    try:
        yield f"retry: {RETRY_MS}\n\n".encode()
        while not streams.closing:
            now = time.monotonic()
            if now - checked_at >= CHECK_S:
                await check()
                checked_at = now
            news = await look(after)
            chunk = b""
            for line in news.lines:
                after = line.number
                chunk += event("line", str(after), {"number": after, "at": line.at, "text": line.text})
            if progress_of(news.row) != shown:
                shown = progress_of(news.row)
                chunk += event("progress", str(after), dict(_progress(news.row)))
            if news.all_lines and news.row.state in ENDED:
                yield chunk + event("end", END, summary(news.row))
                return
            if not chunk and now - said_at >= HEARTBEAT_S:
                chunk = b":\n\n"
            if chunk:
                said_at = now
                yield chunk
            if news.all_lines:
                await asyncio.sleep(POLL_S)
    except (CredentialError, ForbiddenError, NotFoundError) as error:
        yield _refused(error)


def event(kind: str, number: str, data: object) -> bytes:
    """Return one event; JSON has no line break of its own, so ``data`` is one line."""
    return f"id: {number}\nevent: {kind}\ndata: ".encode() + msgspec.json.encode(data) + b"\n\n"


def _refused(error: HeadlandError) -> bytes:
    body = msgspec.json.encode({"code": error.code, "detail": error.what})
    return b"event: refused\ndata: " + body + b"\n\n"  # without an id: the last line's stays in force


def progress_of(row: ActivityRow) -> tuple[object, ...]:
    """Return what makes a new progress event when it differs."""
    return tuple(value for _, value in _progress(row))


def summary(row: ActivityRow) -> dict[str, object]:
    """Return an activity without its log and its parameters."""
    names = (
        "id", "kind", "state", "progress", "attempt", "cancel_requested_at", "result", "error",
        "created_by", "created_at", "started_at", "finished_at",
    )  # fmt: skip
    return {name: getattr(row, name) for name in names}


def _progress(row: ActivityRow) -> list[tuple[str, object]]:
    asked = row.cancel_requested_at is not None
    return [
        ("state", row.state),
        ("progress", row.progress),
        ("attempt", row.attempt),
        ("cancel_requested", asked),
    ]
