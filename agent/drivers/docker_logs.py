"""What a container in an engine prints, copied into the container's log as it comes.

The engine keeps it too, within a bound, also while no agent lives: a new agent goes on behind the last line
that was copied, whose place is in a file beside. That is its time, and how many lines of that time were
copied: Podman's times are whole seconds, and Docker gives what it read at once one time too. The time is a
name and no more: the engine is not asked for what came since, for what is printed after the clock was set
back would never be. A line is copied twice only where the agent was killed between the line and its place, or
where the engine has dropped others of its time.
"""

import contextlib
import http.client
import logging
import os
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, Final, NamedTuple

from agent.drivers.docker_engine import Engine, with_query

log = logging.getLogger(__name__)

HEADER_BYTES: Final = 8  # the stream, three zeros, and the length, for each piece
PIECE_MAX: Final = 1024 * 1024
REST: Final = 10
"""So many times as long as a look took there is none."""
STAMP: Final = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ")
Time = tuple[int, int]
"""Seconds and nanoseconds."""
Piece = tuple[Time | None, bytes]
"""What was printed at once, and when."""


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


class Behind:
    """Picks of what was printed the pieces behind a place; ``found``: the place was there."""

    def __init__(self, place: Place) -> None:
        self._at, self._left = place
        self.found = place == BEGINNING

    def of(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """Yield them, as they come."""
        for at, text in pieces:
            if self.found:
                yield at, text
            elif at == self._at:
                self._left -= text.endswith(b"\n")
                self.found = self._left <= 0


class _GoneError(Exception):
    """The engine has no such container any more: somebody removed it."""


class Follower:
    """Copies into ``log`` until the container has ended, or until closed.

    Where the container is gone it ends too. It follows the engine's stream where ``each_s`` is None;
    otherwise it looks again after so many seconds or more, and once where that is 0. ``done`` says that the
    last look came to the end of what there was.
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
            self.done, begun_s = False, time.monotonic()
            try:
                self.done = self._copy()
            except _GoneError:
                return
            except (OSError, http.client.HTTPException) as error:
                log.debug("the log of %s could not be read: %s", self._name, error)
            if not self._each_s:
                return
            # All that the engine keeps is looked through: a long log less often than a short one.
            if self._ending.wait(max(self._each_s, REST * (time.monotonic() - begun_s))):
                return

    def _copy(self) -> bool:
        place = read_position(self._position)
        behind, follow = Behind(place), self._each_s is None
        if follow and not behind.found:  # one that is not there would be waited for until the end
            with self._printed(follow=False) as pieces:
                deque(behind.of(pieces), maxlen=0)
            behind = Behind(place if behind.found else BEGINNING)
        with self._printed(follow=follow) as pieces:
            self._write(behind.of(pieces), place)
        if not behind.found and not self._closing:  # the engine has dropped it: all that is left is new
            with self._printed(follow=False) as pieces:
                self._write(pieces, BEGINNING)
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
            if response.status == http.HTTPStatus.NOT_FOUND:
                raise _GoneError
            if self._closing or response.status != http.HTTPStatus.OK:
                raise http.client.HTTPException("the engine gives no log")
            yield (timed(piece) for piece in iter(lambda: read_piece(response), None))
        finally:
            connection.close()

    def _write(self, pieces: Iterable[Piece], place: Place) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        copy = os.open(self._log, flags, 0o640)
        position = os.open(self._position, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            for at, text in pieces:
                os.write(copy, text)
                if at is not None:
                    place = place.behind(at, text)
                    os.pwrite(position, b"%d.%09d %d\n" % (*place.at, place.lines), 0)
        finally:
            os.close(copy)
            os.close(position)


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
