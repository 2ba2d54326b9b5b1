"""What a container in an engine prints, copied into the container's log as it comes.

The engine keeps it too, within a bound, also while no agent lives: a new agent goes on behind the last line
that was copied, whose time is in a file beside. That time is a name and no more: the engine is not asked for
what came since, for what is printed after the clock was set back would never be. A line is copied twice only
where the agent was killed between the line and its time.
"""

import contextlib
import http.client
import os
import re
import socket
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Final

from agent.drivers.docker_engine import Engine, with_query

HEADER_BYTES: Final = 8  # the stream, three zeros, and the length, for each piece
PIECE_MAX: Final = 1024 * 1024
STAMP: Final = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ")
Time = tuple[int, int]
"""Seconds and nanoseconds."""
Piece = tuple[Time | None, bytes]
"""What was printed at once, and when."""


@dataclass(frozen=True)
class Copied:
    """So many ``pieces`` from the first; ``last_times`` of them, the newest too, have its time."""

    pieces: int
    last_times: int


class Follower:
    """Copies into ``log`` until the container has ended, or until closed.

    Without ``follow``: what is there now. ``done`` says that it came to the end.
    """

    def __init__(self, engine: Engine, name: str, log: Path, position: Path, *, follow: bool = True) -> None:
        self._engine, self._name, self._follow = engine, name, follow
        self._log, self._position = log, position
        self._line: socket.socket | None = None
        self._closing = False
        self.done = False
        self._thread = threading.Thread(target=self._run, name="container-log", daemon=True)
        self._thread.start()

    @property
    def follows(self) -> bool:
        """Is it at work?"""
        return self._thread.is_alive()

    def wait(self, timeout_s: float) -> None:
        """Wait until it is through."""
        self._thread.join(timeout_s)

    def close(self) -> None:
        """Copy no more."""
        self._closing = True
        if self._line is not None:
            with contextlib.suppress(OSError):
                self._line.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _run(self) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            self.done = self._copy()

    def _copy(self) -> bool:
        last, copied = read_position(self._position), Copied(0, 0)
        if last != (0, 0):
            with self._printed(follow=False) as pieces:
                copied = copied_until(pieces, last)
        with self._printed(follow=self._follow) as pieces:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            log = os.open(self._log, flags, 0o640)
            position = os.open(self._position, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                for at, text in behind(pieces, last, copied):
                    os.write(log, text)
                    if at is not None:
                        os.pwrite(position, b"%d.%09d\n" % at, 0)
            finally:
                os.close(log)
                os.close(position)
        return not self._closing

    @contextlib.contextmanager
    def _printed(self, *, follow: bool) -> Iterator[Iterator[Piece]]:
        """Give what the engine has of it, from the first; raises OSError or HTTPException."""
        query = {"follow": str(int(follow)), "stdout": "1", "stderr": "1", "timestamps": "1"}
        connection = self._engine.connection(timeout_s=None)
        connection.timeout = None
        try:
            connection.request("GET", with_query(f"/containers/{self._name}/logs", query))
            self._line = connection.sock
            response = connection.getresponse()
            if self._closing or response.status != http.HTTPStatus.OK:
                raise http.client.HTTPException("the engine gives no log")
            yield (timed(piece) for piece in iter(lambda: read_piece(response), None))
        finally:
            connection.close()


def copied_until(pieces: Iterable[Piece], last: Time) -> Copied:
    """Return what was copied of ``pieces``, where the newest of that has the time ``last``."""
    pieces_copied = times = 0
    for number, (at, _) in enumerate(pieces, 1):
        if at == last:
            pieces_copied, times = number, times + 1
    return Copied(pieces_copied, times)


def behind(pieces: Iterable[Piece], last: Time, copied: Copied) -> Iterator[Piece]:
    """Yield the pieces behind those that were copied; the engine may have dropped some of them since."""
    left, times = copied.pieces, copied.last_times
    for at, text in pieces:
        if left > 0 and times > 0:
            left, times = left - 1, times - (at == last)
        else:
            yield at, text


def read_piece(pieces: IO[bytes] | http.client.HTTPResponse) -> bytes | None:
    """Return the next piece of what was printed, on whichever stream; None at the end."""
    header = pieces.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES:
        return None
    size = int.from_bytes(header[4:], "big")
    if size > PIECE_MAX:
        return None
    data = pieces.read(size)
    return data if len(data) == size else None


def timed(piece: bytes) -> tuple[Time | None, bytes]:
    """Part a piece into its time and the rest; None where it has none."""
    found = STAMP.match(piece)
    if found is None:
        return None, piece
    base, fraction, zone = found.groups()
    moment = datetime.fromisoformat((base + zone.replace(b"Z", b"+00:00")).decode())
    return (int(moment.timestamp()), int((fraction or b"0").ljust(9, b"0"))), piece[found.end() :]


def read_position(path: Path) -> Time:
    """Return the time of the last line that was copied; zeros where none was."""
    try:
        seconds, _, nanoseconds = path.read_text().splitlines()[0].partition(".")
        return int(seconds), int(nanoseconds)
    except (OSError, ValueError, IndexError):
        return 0, 0
