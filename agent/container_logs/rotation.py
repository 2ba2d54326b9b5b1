"""Keeps the logs within their bounds: a part is copied aside, then the file that is written is emptied."""

import contextlib
import logging
import os
import threading
from pathlib import Path

from agent.settings import Logs

log = logging.getLogger(__name__)

INTERVAL_S = 1.0
KEPT_MODULES = 32
CHUNK_BYTES = 256 * 1024
LAST_LOOKS = 5  # at what was appended while the rest was copied


class Rotation:
    """Looks at every log each second, in a thread of its own: a slow container engine must not delay it."""

    def __init__(self, containers: Path, kept: Path, bounds: Logs) -> None:
        self._containers = containers
        self._kept = kept
        self._bounds = bounds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-rotation", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the look in hand."""
        self._stopping.set()
        self._thread.join()

    def look(self) -> None:
        """Bring every log within its bounds once."""
        for path in self._containers.glob("*/log"):
            with contextlib.suppress(OSError):  # its container was removed just now
                rotate(path, self._bounds)
        kept = sorted(self._kept.glob("*.log"), key=_changed_at, reverse=True)
        for path in kept[KEPT_MODULES:]:
            path.unlink(missing_ok=True)
        for path in kept[:KEPT_MODULES]:
            with contextlib.suppress(OSError):
                _trim(path, self._bounds.max_bytes)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.look()
            except Exception:
                log.exception("the logs of the containers could not be looked at; tried again")
            self._stopping.wait(INTERVAL_S)


def rotate(path: Path, bounds: Logs) -> bool:
    """Set a log larger than ``bounds.max_bytes`` aside as ``.1``; return whether it was.

    Where the disk takes no copy the log is emptied all the same: a full disk is worse than a lost log.
    What is written between the last look and the emptying is lost.
    """
    with path.open("rb+") as source:
        size = os.fstat(source.fileno()).st_size
        if size <= bounds.max_bytes:
            return False
        parts = [path.with_name(f"{path.name}.{number}") for number in range(1, bounds.files + 1)]
        beside = path.with_name(f".{path.name}.new")
        try:
            with beside.open("wb") as copy:
                _copy_tail(source.fileno(), copy.fileno(), bounds.max_bytes)
            for older, newer in zip(reversed(parts[1:]), reversed(parts[:-1]), strict=True):
                with contextlib.suppress(FileNotFoundError):
                    newer.replace(older)
            beside.replace(parts[0])
        except OSError as error:
            beside.unlink(missing_ok=True)
            log.warning("%s: %d bytes of log are lost (%s)", path.parent.name, size, error.strerror)
        os.ftruncate(source.fileno(), 0)
    _drop_beyond(path, bounds.files)
    return True


def keep(home: Path, kept: Path, module: str) -> None:
    """Keep the last thing that a container printed beyond its end, in place of its predecessor's."""
    for path in (home / "log", home / "log.1"):
        with contextlib.suppress(OSError):
            if path.stat().st_size > 0:
                kept.mkdir(parents=True, exist_ok=True, mode=0o700)
                path.replace(kept / f"{module}.log")
                return


def _copy_tail(source: int, target: int, most_bytes: int) -> None:
    """Copy the last whole lines, up to ``most_bytes``, and what is appended meanwhile."""
    position = max(0, os.fstat(source).st_size - most_bytes)
    if position > 0:
        begin = os.pread(source, CHUNK_BYTES, position - 1)
        position += begin.find(b"\n") if b"\n" in begin else 0
    written, empty = 0, 0
    while empty < LAST_LOOKS and written < 2 * most_bytes:
        chunk = os.pread(source, CHUNK_BYTES, position)
        empty += not chunk
        position += len(chunk)
        while chunk:
            sent = os.write(target, chunk)
            written, chunk = written + sent, chunk[sent:]


def _trim(path: Path, max_bytes: int) -> None:
    """Cut a log that nobody writes any more to its last ``max_bytes``."""
    if path.stat().st_size <= max_bytes:
        return
    beside = path.with_name(f".{path.name}.new")
    try:
        with path.open("rb") as source, beside.open("wb") as copy:
            _copy_tail(source.fileno(), copy.fileno(), max_bytes)
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        path.unlink(missing_ok=True)


def _drop_beyond(path: Path, files: int) -> None:
    """Delete the parts that a former, larger setting left."""
    for part in path.parent.glob(f"{path.name}.*"):
        number = part.name.rpartition(".")[2]
        if number.isdigit() and int(number) > files:
            part.unlink(missing_ok=True)


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
