"""The port `ObjectStore`: bytes under a key. A written object is durable and whole, or absent."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable


@dataclass(frozen=True)
class Entry:
    """An object in a listing."""

    key: str
    size_bytes: int


class ObjectStore(Protocol):
    """Keys are relative paths with ``/``; safe to use from several threads.

    Any method may raise `StoreError`; a key that breaks `check_key` raises `ValueError`.
    """

    def put_bytes(self, key: str, data: bytes) -> None:
        """Write an object, replacing what is there."""

    def put_file(self, key: str, path: Path) -> None:
        """Write an object from a local file; the file stays. Pipes are read to their end."""

    def open(self, key: str, offset: int = 0) -> BinaryIO:
        """Read forward from ``offset`` (nothing, if it is the end or beyond); raises `FileNotFoundError`."""

    def size(self, key: str) -> int:
        """Return the bytes of an object; raises `FileNotFoundError`."""

    def exists(self, key: str) -> bool:
        """Is there such an object?"""

    def delete(self, key: str) -> None:
        """Delete an object; no error where there is none."""

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys below ``prefix`` + ``/``, in the order of their code points."""

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """Yield what is below ``prefix`` + ``/``, or all there is, by key; what is no key is left out."""


class Source(Protocol):
    """What can be read by key."""

    def open(self, key: str, offset: int = 0) -> BinaryIO:
        """Read forward from ``offset``; raises `FileNotFoundError` and `StoreError`."""


class LocalFiles(Protocol):
    """Objects as files of this machine, for what can read nothing else. They must never be written over."""

    def folder(self, prefix: str) -> Path:
        """Return the folder that holds all files below ``prefix``, and no others."""

    def held(self, sizes: Mapping[str, int]) -> AbstractContextManager[dict[str, Path]]:
        """Keep the objects (key to its bytes) as files for the time of the block; give path by key.

        Raises `StoreError`, and `ReadCacheError` where they are too many bytes at once.
        """


def is_key(text: str) -> bool:
    """Could it be the key of an object here?"""
    try:
        check_key(text)
    except ValueError:
        return False
    return True


def check_key(key: str) -> str:
    """Return ``key``; raises `ValueError` where a part is empty, begins with a dot or holds a control."""
    parts = key.split("/")
    if not all(parts) or any(part.startswith(".") for part in parts) or not key.isprintable():
        raise ValueError("not a key of the object store")
    return key


@runtime_checkable
class LocalStore(Protocol):
    """What a store on this machine's disk can do besides: give and take files without copying them."""

    def move_file(self, key: str, path: Path) -> None:
        """Write an object from a local file, whose bytes are durable already and which is gone after."""

    def path(self, key: str) -> Path:
        """Return where an object is, to be read only."""
