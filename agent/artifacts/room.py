"""Room on the disk of the store: asked for before a pull, watched during it, and some always left free.

A disk that is full to its last byte stops more than pulls: the outbox, records and logs need some too.
"""

import errno
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.artifacts.errors import DiskTooSmallError, StorageError

UNPACKED_RATIO: Final = 2
"""A compressed layer is taken to unpack to twice its size. Models and wheels stay below it; what goes beyond
is met by the watch while it is unpacked."""


@dataclass(frozen=True)
class Reserve:
    """What pulls leave free: so many bytes, or that share of the disk where it is more."""

    size_bytes: int = 0
    percent: float = 0.0


@dataclass(frozen=True)
class Missing:
    """A layer that is to come: bytes of its blob, how many of them are here, and bytes unpacked."""

    size_bytes: int
    here_bytes: int
    unpacked_bytes: int


def bytes_needed(layers: Sequence[Missing]) -> int:
    """Return the most bytes that ``layers`` take at any time: each blob goes when its layer is unpacked."""
    most = unpacked = 0
    for layer in layers:
        unpacked += layer.unpacked_bytes
        most = max(most, unpacked + layer.size_bytes - layer.here_bytes)
        unpacked -= layer.here_bytes  # it was on the disk before
    return max(most, 0)


class Room:
    """The free bytes of the file system that holds ``folder``."""

    def __init__(self, folder: Path, reserve: Reserve) -> None:
        self._folder = folder
        self.reserve = reserve

    def free_bytes(self) -> int:
        """Return the bytes that pulls may use; below 0 where less than the reserve is free."""
        disk = os.statvfs(self._folder)
        kept = max(self.reserve.size_bytes, int(disk.f_blocks * disk.f_frsize * self.reserve.percent / 100))
        return disk.f_bavail * disk.f_frsize - kept

    def ensure(self, needed_bytes: int, what: str, make_room: Callable[[], None]) -> None:
        """Return if so much is free, at the latest after ``make_room``; else raise `DiskTooSmallError`.

        What needs nothing fits, whatever is free.
        """
        if needed_bytes <= 0 or self.free_bytes() >= needed_bytes:
            return
        make_room()
        free = self.free_bytes()
        if free < needed_bytes:
            raise DiskTooSmallError(
                f"{what} needs {_mib(needed_bytes)} of disk, {_mib(max(free, 0))} may be used",
                where=str(self._folder),
                fix="Free some space; it is tried again.",
            )

    def watch(self) -> None:
        """Raise `DiskTooSmallError` where less than the reserve is free."""
        if self.free_bytes() < 0:
            raise DiskTooSmallError(
                "the disk has less free than is kept in reserve",
                where=str(self._folder),
                fix="Free some space; it is tried again.",
            )


@contextmanager
def storing(folder: Path, *, only: Collection[int] | None = None) -> Iterator[None]:
    """Turn what the disk says into `StorageError`; ``only``: of these numbers, others pass as they are."""
    try:
        yield
    except OSError as error:
        if only is not None and error.errno not in only:
            raise
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        raise (DiskTooSmallError if full else StorageError)(
            f"the disk did not take what was pulled ({error.strerror})",
            where=str(folder),
            fix="Free some space; it is tried again.",
        ) from error


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 1024**2:.1f} MiB"
