"""`ObjectStore` in a folder: write beside, fsync, rename, fsync the folder."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cloud_hub.blobs.port import Entry, check_key, is_key


class FolderStore:
    """Objects as files below ``root``."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._beside = root / ".incoming"
        self._beside.mkdir(parents=True, exist_ok=True, mode=0o700)

    def put_bytes(self, key: str, data: bytes) -> None:
        """Write an object, replacing what is there."""
        with self._incoming(key) as file:
            file.write(data)

    def put_file(self, key: str, path: Path) -> None:
        """Write an object from a local file."""
        with path.open("rb") as source, self._incoming(key) as file:
            shutil.copyfileobj(source, file, 1 << 20)

    def move_file(self, key: str, path: Path) -> None:
        """Make a local file, whose bytes are durable already, the object; copied from another disk."""
        target = self.path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.replace(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self.put_file(key, path)
            path.unlink()
            return
        _sync_folder(target.parent)

    def open(self, key: str, offset: int = 0) -> BinaryIO:
        """Read from ``offset``."""
        file = self.path(key).open("rb")
        file.seek(offset)
        return file

    def size(self, key: str) -> int:
        """Return the bytes of an object."""
        return self.path(key).stat().st_size

    def exists(self, key: str) -> bool:
        """Is there such an object?"""
        return self.path(key).is_file()

    def delete(self, key: str) -> None:
        """Delete an object; no error where there is none."""
        self.path(key).unlink(missing_ok=True)

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys below a prefix, in order."""
        return (entry.key for entry in self.entries(check_key(prefix)))

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """Yield the objects below a prefix, in order; links are left out."""
        folder = self.path(prefix) if prefix else self._root
        paths = folder.rglob("*") if folder.is_dir() else ()
        files = ((path.relative_to(self._root).as_posix(), path) for path in paths)
        found = (
            (key, path) for key, path in files if is_key(key) and not path.is_symlink() and path.is_file()
        )
        yield from (Entry(key, path.stat().st_size) for key, path in sorted(found))

    def path(self, key: str) -> Path:
        """Where the object is, for what reads files itself; refuses a key that leads outside."""
        return self._root / check_key(key)

    def folder(self, prefix: str) -> Path:
        """Return the folder of a prefix."""
        return self.path(prefix)

    @contextmanager
    def held(self, sizes: Mapping[str, int]) -> Iterator[dict[str, Path]]:
        """Give the objects' own files: they are read in place."""
        yield {key: self.path(key) for key in sizes}

    def _incoming(self, key: str) -> "_Incoming":
        return _Incoming(self._beside, self.path(key))


class _Incoming:
    """A file that becomes the object when the block ends well, and nothing otherwise."""

    def __init__(self, beside: Path, target: Path) -> None:
        self._target = target
        descriptor, name = tempfile.mkstemp(dir=beside)
        self._temporary = Path(name)
        self._file = os.fdopen(descriptor, "wb")

    def __enter__(self) -> BinaryIO:
        return self._file

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self._file.close()
            self._temporary.unlink(missing_ok=True)
            return
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._target.parent.mkdir(parents=True, exist_ok=True)
        self._temporary.replace(self._target)
        _sync_folder(self._target.parent)


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
