"""One HTTP/1.1 connection: answers in order, and an orderly end.

Requests are answered inside ``data_received``, so none is in flight between two events: what can
be unfinished is a request that was not read whole, or an answer that the client did not read.
"""

import asyncio
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, cast

from modules.serving.errors import RequestTimeoutError
from modules.serving.request_reader import Request, RequestReader
from modules.serving.routes import Answer, Routes, problem_answer

LINGER_S: Final = 2.0
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: ".encode()
    for status in HTTPStatus
}


@dataclass
class ServerState:
    """What all connections share: limits, who is open, and whether this server is on its way out."""

    body_limit_bytes: int
    request_timeout_s: float
    draining: bool = False
    connections: "set[Connection]" = field(default_factory=set)
    none_open: asyncio.Event = field(default_factory=asyncio.Event)

    def expire_requests(self) -> None:
        """End connections whose request was begun too long ago and is still not whole."""
        for connection in list(self.connections):
            connection.expire_request()


class Connection(asyncio.Protocol):
    """The protocol of one accepted socket."""

    def __init__(self, accepted: socket.socket, routes: Routes, state: ServerState) -> None:
        self._socket = accepted
        self._routes = routes
        self._state = state
        self._loop = asyncio.get_running_loop()
        self._reader = RequestReader(state.body_limit_bytes)
        self._ending = False
        self._end_timer: asyncio.TimerHandle | None = None
        self._ended_at = 0.0
        self._partial_since: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection as open."""
        self._transport = cast(asyncio.Transport, transport)
        self._state.connections.add(self)
        self._state.none_open.clear()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        """Count the connection as gone."""
        self._ending = True
        if self._end_timer is not None:
            self._end_timer.cancel()
        self._state.connections.discard(self)
        if not self._state.connections:
            self._state.none_open.set()

    def pause_writing(self) -> None:
        """Read no more requests from a client that does not read its answers."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Read on."""
        self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Answer each request that ``data`` makes whole."""
        if self._ending:
            return
        reader = self._reader
        requests = reader.feed(data)
        refusal = reader.refusal
        # While draining, requests that came in together are all answered; the last answer says close.
        closes = self._state.draining and not reader.partial
        for index, request in enumerate(requests):
            last = index == len(requests) - 1 and refusal is None
            answer = self._routes.answer(request.method, request.target.decode("latin-1"), request.body)
            self._write(answer, request, closes=not request.keep_alive or (last and closes))
        if refusal is not None:
            self._write(problem_answer(refusal), None, closes=True)
        if refusal is not None or (requests and (closes or not requests[-1].keep_alive)):
            self._end()
        elif not reader.partial:
            self._partial_since = None
        else:
            if self._partial_since is None or requests:
                self._partial_since = self._loop.time()
            if reader.take_continue():
                self._transport.write(_CONTINUE)

    def eof_received(self) -> None:
        """Close: what was asked is answered already."""
        self._ending = True

    def end_idle(self) -> None:
        """Take no new request, and close unless one is half read.

        Shutting the reading side first closes the gap in which a request could arrive and be lost:
        on a Unix socket the client's send fails from here on, what was sent before is still read
        and answered, and then the end of the stream closes the connection.
        """
        if not self._ending and not self._reader.partial:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RD)

    def expire_request(self) -> None:
        """Answer 408 where a request was begun longer ago than a client may take for it."""
        since = self._partial_since
        if since is None or self._ending or self._loop.time() - since < self._state.request_timeout_s:
            return
        error = RequestTimeoutError("the request was not finished in time", fix="Send it again.")
        self._write(problem_answer(error), None, closes=True)
        self._end()

    def abort(self) -> None:
        """Drop the connection now."""
        self._transport.abort()

    def _write(self, answer: Answer, request: Request | None, *, closes: bool) -> None:
        parts = [_STATUS_LINES[answer.status], answer.kind, b"\r\nContent-Length: %d\r\n" % len(answer.body)]
        if answer.allow:
            parts.append(f"Allow: {answer.allow}\r\n".encode())
        if closes:
            parts.append(b"Connection: close\r\n")
        elif request is not None and request.version == "1.0":
            parts.append(b"Connection: keep-alive\r\n")
        parts.append(b"\r\n")
        if request is None or request.method != "HEAD":
            parts.append(answer.body)
        self._transport.write(b"".join(parts))

    def _end(self) -> None:
        """Close in two steps (RFC 9112, section 9.6): say the end, then read on until the client's.

        Closing at once with unread bytes would reset the connection, and the client could lose the answer.
        """
        self._ending = True
        self._partial_since = None
        self._ended_at = self._loop.time()
        if not self._transport.is_closing():
            self._transport.write_eof()
        self._end_timer = self._loop.call_later(LINGER_S, self._close_after_lingering)

    def _close_after_lingering(self) -> None:
        waited_s = self._loop.time() - self._ended_at
        if self._transport.get_write_buffer_size() and waited_s < self._state.request_timeout_s:
            self._end_timer = self._loop.call_later(LINGER_S, self._close_after_lingering)
        else:
            self._transport.abort()
