"""Where the bytes of an unfinished upload are: the port, and its adapter of files on this machine."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from cloud_hub.blobs.part_file import PartFile


class Part(Protocol):
    """What has arrived of one upload. Any method may raise `OSError` or `StoreError`."""

    def resume(self, offset_bytes: int) -> bool:
        """Make it end at ``offset_bytes``; False where it does not have so many bytes."""

    def append(self, start: int, chunks: Sequence[bytes]) -> int:
        """Add bytes at ``start``, durable on return; return how many. Raises `UploadOffsetError`."""

    def whole(self, size_bytes: int) -> Path | None:
        """Return all of it as a durable local file; None where it was taken away already."""

    def digest(self) -> str:
        """Return the digest of what `whole` returned."""

    def forget(self) -> None:
        """Delete it; no error where there is nothing."""


class Parts(Protocol):
    """The unfinished uploads, by id."""

    def part(self, upload: str) -> Part:
        """Return that of one upload, which may be new."""

    def ids(self) -> Iterable[str]:
        """Yield the ids of which there is something."""


class FileParts:
    """In a folder: for a hub that is one process, and so meets its uploads again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def part(self, upload: str) -> Part:
        """See `Parts`."""
        return PartFile(self.folder / f"{upload}.part")

    def ids(self) -> Iterable[str]:
        """See `Parts`."""
        return [path.stem for path in self.folder.glob("*.part")]


def forget_others(parts: Parts, found: Collection[str], known: Collection[str]) -> None:
    """Delete what belongs to no upload; ``known`` must be read after ``found`` was."""
    for upload in set(found) - set(known):
        parts.part(upload).forget()
