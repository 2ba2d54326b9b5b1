"""Remote objects as local files: fetched once, bounded in bytes, the longest unused leaves first.

For objects that are never written over. The folder is emptied at each start: it holds nothing that the
store has not, and a file that a power cut left half written is not met again.
"""

import shutil
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from cloud_hub.blobs.errors import ReadCacheError, StoreError
from cloud_hub.blobs.port import Source, check_key

FETCHES_AT_ONCE = 8
WAIT_FOR_ROOM_S = 60.0


@dataclass
class _Entry:
    size_bytes: int
    fetched: Future[Path]
    users: int = 0


class ReadCache:
    """`LocalFiles` over any store: a file is at its key below ``root``, so prefixes do not mix."""

    def __init__(self, store: Source, root: Path, max_bytes: int) -> None:
        self._store = store
        self._files = root / "files"
        self._beside = root / "incoming"
        self._max_bytes = max_bytes
        self._entries: dict[str, _Entry] = {}  # the longest unused first
        self._changed = threading.Condition()
        self._pool = ThreadPoolExecutor(FETCHES_AT_ONCE, thread_name_prefix="read-cache")
        for folder in (self._files, self._beside):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True, mode=0o700)

    def folder(self, prefix: str) -> Path:
        """Return the folder of a prefix."""
        return self._files / check_key(prefix)

    @contextmanager
    def held(self, sizes: Mapping[str, int]) -> Iterator[dict[str, Path]]:
        """Fetch what is missing, and keep all of it for the time of the block."""
        entries = self._take(sizes)
        try:
            yield {key: entry.fetched.result() for key, entry in entries.items()}
        finally:
            with self._changed:
                for entry in entries.values():
                    entry.users -= 1
                self._changed.notify_all()

    def _take(self, sizes: Mapping[str, int]) -> dict[str, _Entry]:
        """Reserve all at once, so that two who wait for room never wait for each other."""
        if sum(sizes.values()) > self._max_bytes:
            raise ReadCacheError(
                f"this needs {sum(sizes.values())} bytes of telemetry at once, of {self._max_bytes}",
                where="telemetry_cache_bytes",
                fix="Name fewer streams in the query, or raise telemetry_cache_bytes.",
            )
        with self._changed:
            if not self._changed.wait_for(lambda: self._make_room(sizes), WAIT_FOR_ROOM_S):
                raise StoreError(
                    "other queries hold the read cache", where="telemetry_cache_bytes", fix="Try again."
                )
            taken = {key: self._entry(key, size) for key, size in sizes.items()}
            for key, entry in taken.items():
                entry.users += 1
                self._entries[key] = entry
        return taken

    def _entry(self, key: str, size_bytes: int) -> _Entry:
        entry = self._entries.pop(key, None)
        if entry is None or _failed(entry):
            return _Entry(size_bytes, self._pool.submit(self._fetch, key, size_bytes))
        return entry

    def _make_room(self, sizes: Mapping[str, int]) -> bool:
        for key in [key for key, entry in self._entries.items() if not entry.users and _failed(entry)]:
            del self._entries[key]
        missing = sum(size for key, size in sizes.items() if key not in self._entries)
        used = sum(entry.size_bytes for entry in self._entries.values())
        for key in [key for key in self._entries if key not in sizes]:
            if used + missing <= self._max_bytes:
                break
            entry = self._entries[key]
            if entry.users == 0 and entry.fetched.done():
                del self._entries[key]
                used -= entry.size_bytes
                entry.fetched.result().unlink(missing_ok=True)
        return used + missing <= self._max_bytes

    def _fetch(self, key: str, size_bytes: int) -> Path:
        target = self._files / check_key(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=self._beside, delete=False) as file:
            temporary = Path(file.name)
            try:
                self._copy(key, size_bytes, file)
                file.flush()
                temporary.replace(target)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        return target

    def _copy(self, key: str, size_bytes: int, file: IO[bytes]) -> None:
        try:
            with self._store.open(key) as source:
                shutil.copyfileobj(source, file, 1 << 20)
        except FileNotFoundError:
            raise StoreError("an object is gone from the store", where=key, fix="Restore it.") from None
        if file.tell() != size_bytes:
            raise StoreError("an object is not as long as it should be", where=key, fix="Try again.")


def _failed(entry: _Entry) -> bool:
    return entry.fetched.done() and entry.fetched.exception() is not None
