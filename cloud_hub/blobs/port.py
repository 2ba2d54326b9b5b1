"""The port `ObjectStore`: bytes under a key. A written object is durable and whole, or absent."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable


class ObjectStore(Protocol):
    """Keys are relative paths with ``/``; safe to use from several threads."""

    def put_bytes(self, key: str, data: bytes) -> None:
        """Write an object, replacing what is there."""

    def put_file(self, key: str, path: Path) -> None:
        """Write an object from a local file; the file stays."""

    def open(self, key: str, offset: int = 0) -> BinaryIO:
        """Read from ``offset``; raises `FileNotFoundError`."""

    def size(self, key: str) -> int:
        """Return the bytes of an object; raises `FileNotFoundError`."""

    def exists(self, key: str) -> bool:
        """Is there such an object?"""

    def delete(self, key: str) -> None:
        """Delete an object; no error where there is none."""

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys below a prefix, in order."""


@runtime_checkable
class LocalStore(Protocol):
    """What a store on this machine's disk can do besides: give and take files without copying them."""

    def move_file(self, key: str, path: Path) -> None:
        """Write an object from a local file, whose bytes are durable already and which is gone after."""

    def path(self, key: str) -> Path:
        """Return where an object is, to be read only."""
