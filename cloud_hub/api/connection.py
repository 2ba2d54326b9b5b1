"""Connections of HTTP/1.1: how large a head may be, and how long a silent one is kept.

uvicorn's `httptools` protocol bounds neither: a head of any size is kept in memory, and a
connection that never finishes one, or that drips a body nobody waits for, stays for ever.
"""

import asyncio
from dataclasses import dataclass
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


@dataclass(frozen=True)
class HeadLimits:
    """Bounds of a request's line and headers: bytes, how many headers, and seconds until they are there."""

    max_bytes: int = 64 * 1024
    max_headers: int = 100
    wait_s: float = 20.0


class HeadTooLargeError(Exception):
    """Only for the parser: it stops at an exception of a callback."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """HTTP/1.1 with bounds on heads and on silence."""

    limits: ClassVar[HeadLimits] = HeadLimits()

    _timer: asyncio.TimerHandle | None = None
    _in_head = True
    _head_bytes = 0
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a head only so long."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what may belong to a head; what comes after an answer must become a new one in time."""
        if self.transport.is_closing():
            # TLS takes its time to close, and a peer that goes on talking must not fill the parser.
            return
        if self.cycle is not None and self.cycle.response_complete:
            self._wait()
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > self.limits.max_bytes:
                self._refuse()

    def on_message_begin(self) -> None:
        """Begin to count."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        """Judge a head that came in few pieces, before anything is done with it."""
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self.limits.max_bytes or len(self.headers) > self.limits.max_headers:
            self._refused = True
            raise HeadTooLargeError
        self._in_head = False
        self._stop_waiting()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Tell what was wrong; uvicorn calls it after every exception of a callback."""
        if self._refused:
            self._refuse()
        else:
            super().send_400_response(msg)

    def _refuse(self) -> None:
        head = (
            b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        self.transport.write(head)
        self.transport.close()

    def _wait(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.limits.wait_s, self._give_up)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self.transport.close()
