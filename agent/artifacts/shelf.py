"""What becomes of a layer's blob when the layer is unpacked: a device that serves neighbours keeps it."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol


class Shelf(Protocol):
    """Where blobs of layers go; their names are the hex of their digests."""

    def put(self, blob: Path) -> None:
        """Take a blob whose layer is unpacked, or delete it; raises nothing."""

    def make_way(self, needed_bytes: int) -> None:
        """Delete what is kept until so much of the disk may be used, or nothing is left."""

    def coming(self, digest: str, size_bytes: int) -> AbstractContextManager[None]:
        """Say, while the block runs, that this blob is being brought from the hub."""


class NoShelf:
    """Keeps nothing."""

    def put(self, blob: Path) -> None:
        """Delete it."""
        blob.unlink()

    def make_way(self, needed_bytes: int) -> None:
        """Do nothing: nothing is kept."""

    @contextmanager
    def coming(self, digest: str, size_bytes: int) -> Iterator[None]:  # noqa: ARG002
        """Tell nobody."""
        yield
