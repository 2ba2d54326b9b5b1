"""`ObjectStore` below a prefix of another one, and in a folder that others write into too."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cloud_hub.blobs.folder import FolderStore
from cloud_hub.blobs.port import Entry, LocalStore, ObjectStore, check_key


class StoreBelow:
    """The objects of ``store`` whose keys begin with ``prefix`` + ``/``, without it."""

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        self._store = store
        self._prefix = check_key(prefix)

    def put_bytes(self, key: str, data: bytes) -> None:
        """Write an object, replacing what is there."""
        self._store.put_bytes(self._key(key), data)

    def put_file(self, key: str, path: Path) -> None:
        """Write an object from a local file."""
        self._store.put_file(self._key(key), path)

    def open(self, key: str, offset: int = 0) -> BinaryIO:
        """Read from ``offset``."""
        return self._store.open(self._key(key), offset)

    def size(self, key: str) -> int:
        """Return the bytes of an object."""
        return self._store.size(self._key(key))

    def exists(self, key: str) -> bool:
        """Is there such an object?"""
        return self._store.exists(self._key(key))

    def delete(self, key: str) -> None:
        """Delete an object; no error where there is none."""
        self._store.delete(self._key(key))

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys below a prefix."""
        return (entry.key for entry in self.entries(check_key(prefix)))

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """Yield the objects below a prefix, or all."""
        for entry in self._store.entries(self._key(prefix) if prefix else self._prefix):
            yield Entry(entry.key.removeprefix(f"{self._prefix}/"), entry.size_bytes)

    def path(self, key: str) -> Path | None:
        """Return where an object is on this machine's disk, to be read only; none where it is elsewhere."""
        return path_of(self._store, self._key(key))

    def _key(self, key: str) -> str:
        return f"{self._prefix}/{check_key(key)}"


def path_of(store: ObjectStore, key: str) -> Path | None:
    """Return where an object of any store is on this machine's disk, to be read only, if it is."""
    return store.path(key) if isinstance(store, StoreBelow | LocalStore) else None


class SharedFolderStore(FolderStore):
    """A folder, such as a mounted share, into which others may put links: none leads outside."""

    def path(self, key: str) -> Path:
        """Where the object is; one that a link takes out of the folder is not there."""
        path = super().path(key)
        if not path.resolve().is_relative_to(self._root.resolve()):
            raise FileNotFoundError(key)
        return path
