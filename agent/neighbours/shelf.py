"""Blobs of layers as they came, kept for neighbours: so many bytes, the oldest goes first.

A layer's blob cannot be made again from its folder: no two compressors write the same bytes.
"""

import contextlib
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from agent.artifacts.room import Room
from contract.digests import hex_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, order=True)
class _Kept:
    since_ns: int
    name: str
    size_bytes: int


class FolderShelf:
    """`Shelf` in a folder on the store's disk."""

    def __init__(self, folder: Path, max_bytes: int, room: Room) -> None:
        """Go on with what is in ``folder``, as far as the bounds allow it."""
        self._folder = folder
        self._max_bytes = max_bytes
        self._room = room
        self._lock = threading.Lock()
        self._coming: set[str] = set()
        folder.mkdir(exist_ok=True)
        self.make_way(0)

    def put(self, blob: Path) -> None:
        """Take a blob, unless the disk's reserve or the bound says no; see `Shelf`."""
        with self._lock:
            try:
                size = blob.stat().st_size
                if size <= self._max_bytes:
                    self._evict(size, 0)
                    if self._room.free_bytes() >= 0:
                        blob.replace(self._folder / blob.name)
            except OSError as error:
                log.warning("a layer is not kept for neighbours (%s)", error.strerror)
            with contextlib.suppress(OSError):
                blob.unlink(missing_ok=True)

    def make_way(self, needed_bytes: int) -> None:
        """See `Shelf`."""
        with self._lock:
            self._evict(0, needed_bytes)

    @contextmanager
    def coming(self, digest: str, size_bytes: int) -> Iterator[None]:
        """See `Shelf`; nobody shall wait for what will not be kept."""
        with self._lock:
            if size_bytes <= self._max_bytes:
                self._coming.add(digest)
        try:
            yield
        finally:
            with self._lock:
                self._coming.discard(digest)

    def is_coming(self, digest: str) -> bool:
        """Is it being brought from the hub?"""
        with self._lock:
            return digest in self._coming

    def open(self, digest: str) -> IO[bytes] | None:
        """Open a blob that is kept; it stays readable when it is deleted meanwhile."""
        try:
            return (self._folder / hex_of(digest)).open("rb", buffering=0)
        except OSError:
            return None

    def forget(self, digest: str) -> None:
        """Delete a blob."""
        (self._folder / hex_of(digest)).unlink(missing_ok=True)

    def size_bytes(self) -> int:
        """Return what is kept."""
        return sum(each.size_bytes for each in self._kept())

    def _evict(self, coming_bytes: int, needed_bytes: int) -> None:
        """Delete the oldest until ``coming_bytes`` more are within the bound, and so much disk is free."""
        kept = sorted(self._kept())
        over = sum(each.size_bytes for each in kept) + coming_bytes - self._max_bytes
        short = max(over, needed_bytes - self._room.free_bytes())
        for each in kept:
            if short <= 0:
                return
            (self._folder / each.name).unlink(missing_ok=True)
            short -= each.size_bytes

    def _kept(self) -> list[_Kept]:
        found = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    facts = entry.stat(follow_symlinks=False)
                    found.append(_Kept(facts.st_mtime_ns, entry.name, facts.st_size))
        return found
