"""What a container in an engine prints, copied into the container's log as it comes.

The engine keeps it too, within a bound, also while no agent lives: a new agent goes on behind the last line
that was copied, whose place is in a file beside. That is its time, and how many lines of that time were
copied: Podman's times are whole seconds, and Docker gives what it read at once one time too. A line is copied
twice only where the agent was killed between the line and its place.
"""

import contextlib
import http.client
import os
import re
import socket
import threading
from datetime import datetime
from pathlib import Path
from typing import IO, Final, NamedTuple

from agent.drivers.docker_engine import Engine, with_query

HEADER_BYTES: Final = 8  # the stream, three zeros, and the length, for each piece
PIECE_MAX: Final = 1024 * 1024
STAMP: Final = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ")
Time = tuple[int, int]
"""Seconds and nanoseconds."""


class Place(NamedTuple):
    """Where a log was copied to: the time of the last piece, and how many lines of that time have ended.

    Pieces do not count: Podman joins the two of a line that did not fit one reading, or does not.
    """

    at: Time
    lines: int

    def behind(self, at: Time, text: bytes) -> "Place":
        """Return the place behind one more piece, printed at ``at``."""
        return Place(at, (self.lines if at == self.at else 0) + text.endswith(b"\n"))


BEGINNING: Final = Place((0, 0), 0)


class Follower:
    """Copies into ``log`` until the container has ended, or until closed.

    It follows the engine's stream where ``each_s`` is None; otherwise it looks again each so many seconds,
    and once where that is 0. ``done`` says that the last look came to the end of what there was.
    """

    def __init__(
        self, engine: Engine, name: str, log: Path, position: Path, each_s: float | None = None
    ) -> None:
        self._engine, self._name, self._each_s = engine, name, each_s
        self._log, self._position = log, position
        self._line: socket.socket | None = None
        self._ending = threading.Event()
        self._closing = False
        self.done = False
        self._thread = threading.Thread(target=self._run, name="container-log", daemon=True)
        self._thread.start()

    @property
    def follows(self) -> bool:
        """Is it at work?"""
        return self._thread.is_alive()

    def end(self, timeout_s: float) -> None:
        """Look no more, and wait until it is through."""
        self._ending.set()
        self._thread.join(timeout_s)

    def close(self) -> None:
        """Copy no more."""
        self._closing = True
        self._ending.set()
        if self._line is not None:
            with contextlib.suppress(OSError):
                self._line.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _run(self) -> None:
        while True:
            self.done = False
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.done = self._copy()
            if not self._each_s or self._ending.wait(self._each_s):
                return

    def _copy(self) -> bool:
        last = read_position(self._position)
        query = {"follow": str(int(self._each_s is None)), "stdout": "1", "stderr": "1", "timestamps": "1"}
        if last != BEGINNING:
            query["since"] = "{}.{:09d}".format(*last.at)
        connection = self._engine.connection(timeout_s=None)
        connection.timeout = None
        try:
            connection.request("GET", with_query(f"/containers/{self._name}/logs", query))
            self._line = connection.sock
            response = connection.getresponse()
            if self._closing or response.status != http.HTTPStatus.OK:
                return False
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            log = os.open(self._log, flags, 0o640)
            position = os.open(self._position, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                self._copy_pieces(response, log, position, last)
            finally:
                os.close(log)
                os.close(position)
        finally:
            connection.close()
        return not self._closing

    @staticmethod
    def _copy_pieces(
        pieces: IO[bytes] | http.client.HTTPResponse, log: int, position: int, last: Place
    ) -> None:
        place = Place(last.at, 0)
        while (piece := read_piece(pieces)) is not None:
            at, text = timed(piece)
            if at is None:
                os.write(log, text)
                continue
            if at < last.at:
                continue
            known = at == last.at and place.lines < last.lines
            place = place.behind(at, text)
            if known:
                continue
            os.write(log, text)
            os.pwrite(position, b"%d.%09d %d\n" % (*at, place.lines), 0)


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


def read_position(path: Path) -> Place:
    """Return the place to which was copied; the beginning where nothing was."""
    try:
        at, _, lines = path.read_text().splitlines()[0].partition(" ")
        seconds, _, nanoseconds = at.partition(".")
        return Place((int(seconds), int(nanoseconds)), int(lines or 1))
    except (OSError, ValueError, IndexError):
        return BEGINNING
