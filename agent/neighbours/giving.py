"""Answers one neighbour's request over a connection that is through its handshake."""

import hashlib
import logging
import os
import ssl
import threading
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import IO, Final

from agent.artifacts.delta import Savings
from agent.artifacts.flow import Bucket
from agent.artifacts.store import ContentStore
from agent.neighbours.requests import MAX_HEAD_BYTES, Ask, read_ask
from agent.neighbours.shelf import FolderShelf

log = logging.getLogger(__name__)

PIECE_BYTES: Final = 64 * 1024
PIECES_PER_S: Final = 8
RETRY_AFTER_S: Final = 2


@dataclass(frozen=True)
class Limits:
    """What one neighbour, and all of them, may take: seconds, and counts at a time.

    ``head_s``: from the handshake to the end of a request's head. ``piece_s``: who does not take a piece of
    64 KiB in that time is hung up on. ``bind_again_s``: between tries to have the address.
    """

    handshake_s: float = 5.0
    head_s: float = 10.0
    piece_s: float = 20.0
    connections: int = 32
    requests: int = 8
    of_one: int = 2
    bind_again_s: float = 10.0


class GoneError(OSError):
    """Who asked went away, or is too slow, or the agent stops."""


class Giver:
    """What is given, and how fast over all neighbours together (bytes/s, 0: any)."""

    def __init__(
        self,
        store: ContentStore,
        shelf: FolderShelf,
        savings: Savings,
        max_bytes_per_s: int,
        limits: Limits,
        stopping: threading.Event,
    ) -> None:
        self._store, self._shelf, self._savings = store, shelf, savings
        self._bucket = Bucket(max_bytes_per_s) if max_bytes_per_s else None
        self._piece_bytes = min(PIECE_BYTES, max(1024, max_bytes_per_s // PIECES_PER_S or PIECE_BYTES))
        self._bucket_lock = threading.Lock()
        self._limits, self._stopping = limits, stopping

    def answer(self, line: ssl.SSLSocket, refused: HTTPStatus | None) -> None:
        """Read a request and answer it; ``refused``: this neighbour gets nothing. Raises OSError."""
        ask = read_ask(_head(line, self._limits.head_s))
        line.settimeout(self._limits.piece_s)
        if refused is not None:
            _say(line, refused)
            return
        if isinstance(ask, HTTPStatus):
            _say(line, ask)
            return
        file = self._open(ask)
        if file is None:
            coming = self._shelf.is_coming(ask.digest)
            _say(line, HTTPStatus.SERVICE_UNAVAILABLE if coming else HTTPStatus.NOT_FOUND)
            return
        with file:
            self._give(line, ask, file)

    def _open(self, ask: Ask) -> IO[bytes] | None:
        kept = None if ask.manifest else self._shelf.open(ask.digest)
        return kept or self._store.open_blob(ask.digest)

    def _give(self, line: ssl.SSLSocket, ask: Ask, file: IO[bytes]) -> None:
        size = os.fstat(file.fileno()).st_size
        window = ask.window(size)
        if window is None:
            _say(line, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, f"Content-Range: bytes */{size}")
            return
        fields = [f"Content-Length: {len(window)}", "Content-Type: application/octet-stream"]
        status = HTTPStatus.OK
        if ask.first is not None:
            status = HTTPStatus.PARTIAL_CONTENT
            fields.append(f"Content-Range: bytes {window.start}-{window.stop - 1}/{size}")
        line.sendall(_answer_head(status, *fields))
        if not ask.body:
            return
        digest = hashlib.sha256()
        file.seek(window.start)
        left = len(window)
        while left and (piece := file.read(min(self._piece_bytes, left))):
            self._wait_for(len(piece))
            line.sendall(piece)
            self._savings.add(served=len(piece))
            digest.update(piece)
            left -= len(piece)
        if len(window) == size and f"sha256:{digest.hexdigest()}" != ask.digest:
            # Whoever got it proves that too. Kept, it would be sent again and again.
            log.error("what is kept as %s is damaged, and was deleted", ask.digest)
            self._shelf.forget(ask.digest)

    def _wait_for(self, size_bytes: int) -> None:
        wait_s = 0.0
        if self._bucket is not None:
            with self._bucket_lock:
                wait_s = self._bucket.take(size_bytes, time.monotonic())
        if self._stopping.wait(wait_s):
            raise GoneError("the agent stops")


def _head(line: ssl.SSLSocket, within_s: float) -> bytes:
    """Read up to the empty line; raises `GoneError` where it is too long or takes too long."""
    until = time.monotonic() + within_s
    head = bytearray()
    while b"\r\n\r\n" not in head:
        left_s = until - time.monotonic()
        if left_s <= 0 or len(head) >= MAX_HEAD_BYTES:
            raise GoneError("no request in time")
        line.settimeout(left_s)
        piece = line.recv(MAX_HEAD_BYTES - len(head))
        if not piece:
            raise GoneError("it went away")
        head += piece
    return bytes(head)


def _say(line: ssl.SSLSocket, status: HTTPStatus, *fields: str) -> None:
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        fields = (*fields, f"Retry-After: {RETRY_AFTER_S}")
    line.sendall(_answer_head(status, "Content-Length: 0", *fields))


def _answer_head(status: HTTPStatus, *fields: str) -> bytes:
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", *fields, "Connection: close", "", ""]
    return "\r\n".join(lines).encode("ascii")
