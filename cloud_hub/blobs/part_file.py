"""The part of an upload that has arrived: a file that grows by durable blocks, hashed as it grows."""

import hashlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path

from cloud_hub.errors import UploadOffsetError

READ_BYTES = 8 * 1024 * 1024


class PartFile:
    """Appends to a file; what lies behind the durable offset is from a broken write, and is cut off."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._hash = hashlib.sha256()
        self._hashed_bytes = 0

    def resume(self, offset_bytes: int) -> bool:
        """Make the file end at ``offset_bytes``; False where it does not have so many bytes.

        Its hash goes on from memory, or is computed again after a restart.
        """
        with self._lock:
            if offset_bytes == 0:
                self.path.touch()
            size_bytes = self.path.stat().st_size if self.path.exists() else -1
            if size_bytes < offset_bytes:
                return False
            if size_bytes > offset_bytes:
                os.truncate(self.path, offset_bytes)
            if self._hashed_bytes != offset_bytes:
                self._hash_again(offset_bytes)
            return True

    def append(self, start: int, chunks: Sequence[bytes]) -> int:
        """Write bytes at ``start``, where the file must end; they are durable on return. Return how many.

        Raises `UploadOffsetError` where the file ends elsewhere: a request that was taken for dead
        still writes.
        """
        with self._lock:
            if self._hashed_bytes != start:
                raise UploadOffsetError("the upload moved on", fix="Ask where it stands.")
            self._hashed_bytes = -1  # unknown until all of it is written
            size_bytes = 0
            with self.path.open("ab", buffering=0) as file:
                for chunk in chunks:
                    view = memoryview(chunk)
                    while view:
                        view = view[file.write(view) :]
                    self._hash.update(chunk)
                    size_bytes += len(chunk)
                os.fdatasync(file.fileno())
            self._hashed_bytes = start + size_bytes
            return size_bytes

    def whole(self, _size_bytes: int) -> Path | None:
        """Return the file, unless it was taken away already."""
        return self.path if self.path.exists() else None

    def digest(self) -> str:
        """Return the digest of everything so far."""
        return f"sha256:{self._hash.hexdigest()}"

    def forget(self) -> None:
        """Delete the file; no error where there is none."""
        self.path.unlink(missing_ok=True)

    def _hash_again(self, offset_bytes: int) -> None:
        self._hash, self._hashed_bytes = hashlib.sha256(), 0
        if offset_bytes:
            with self.path.open("rb") as file:
                while chunk := file.read(READ_BYTES):
                    self._hash.update(chunk)
                    self._hashed_bytes += len(chunk)
