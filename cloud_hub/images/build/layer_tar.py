"""Layers as reproducible tar files (POSIX ustar, pax headers only where a name needs them), compressed."""

import gzip
import hashlib
import io
import sys
import tarfile
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

from cloud_hub.images.build.errors import BuildCancelledError, BuildError, ModelChangedError
from cloud_hub.images.build.layout import check_member
from cloud_hub.images.build.options import GZIP, MEDIA_TYPES, Compression
from cloud_hub.images.build.ports import Layer

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CHUNK_BYTES: Final = 1 << 20
BLOCK_BYTES: Final = 512
GZIP_LEVEL: Final = 6
ZSTD_LEVEL: Final = 3  # level 19 takes minutes for a few percent

Content = Callable[[], tuple[BinaryIO, int] | None]
"""Opens a file's bytes and says how many they are; None means that there is no such file after all."""


@dataclass(frozen=True)
class File:
    """A regular file; its bytes must have ``digest`` where one is given."""

    path: str
    content: Content
    mode: int = 0o644
    digest: str = ""


@dataclass(frozen=True)
class Directory:
    """A directory that is there even when empty, or has an unusual mode."""

    path: str
    mode: int = 0o755


@dataclass(frozen=True)
class Link:
    """A symbolic link."""

    path: str
    target: str


Entry = File | Directory | Link


def from_bytes(data: bytes) -> Content:
    """Return content that is already here."""
    return lambda: (io.BytesIO(data), len(data))


def from_path(path: Path) -> Content:
    """Return the content of a file on this machine."""

    def content() -> tuple[BinaryIO, int]:
        stream = path.open("rb")
        return stream, stream.seek(0, io.SEEK_END) - stream.seek(0)

    return content


def digest_of(path: Path) -> str:
    """Return the digest of a file, read in pieces."""
    with path.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"


def write_layer(
    entries: Iterable[Entry],
    target: Path,
    *,
    title: str,
    compression: Compression = GZIP,
    cancelled: Callable[[], bool] = lambda: False,
) -> Layer:
    """Write ``entries`` and their parent directories as a compressed tar to the new file ``target``.

    Sorted by path, times 0, owner root, no user names: the same entries give the same bytes. ``cancelled``
    is asked before each MiB. Raises `ModelChangedError` for a file whose bytes are not those of its
    digest, `BuildCancelledError`, and `BuildError` for two entries on one path.
    """
    with target.open("xb") as file:
        compressed = _HashingWriter(file)
        with _compressing(compressed, compression) as packed:
            tar = _HashingWriter(packed, cancelled)
            for entry in _with_parents(entries):
                _write_entry(tar, entry)
            tar.write(bytes(2 * BLOCK_BYTES))
    return Layer(
        digest=compressed.digest(),
        diff_id=tar.digest(),
        size_bytes=compressed.size,
        title=title,
        media_type=MEDIA_TYPES[compression],
    )


def stop_if(cancelled: Callable[[], bool]) -> None:
    """Raise `BuildCancelledError` if somebody asked for it."""
    if cancelled():
        raise BuildCancelledError("the build was cancelled", where="image build", fix="Start it again.")


def _compressing(target: "_HashingWriter", compression: Compression) -> AbstractContextManager[BinaryIO]:
    # Both need no more of a file than write().
    file = cast(BinaryIO, target)
    if compression == GZIP:
        return cast(AbstractContextManager[BinaryIO], gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0))
    return cast(AbstractContextManager[BinaryIO], zstd.ZstdFile(file, "wb", level=ZSTD_LEVEL))


class _HashingWriter:
    """Passes bytes on, and keeps their count and SHA-256."""

    def __init__(self, target: BinaryIO, cancelled: Callable[[], bool] = lambda: False) -> None:
        self._target, self._cancelled = target, cancelled
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes, /) -> int:
        stop_if(self._cancelled)
        self._hash.update(data)
        self.size += len(data)
        self._target.write(data)
        return len(data)

    def flush(self) -> None:
        self._target.flush()

    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


def _with_parents(entries: Iterable[Entry]) -> list[Entry]:
    by_path: dict[str, Entry] = {}
    for entry in entries:
        if check_member(entry.path) in by_path:
            raise BuildError("two files of a layer have the same path", where=entry.path)
        by_path[entry.path] = entry
    for path in list(by_path):
        for parent in Path(path).parents:
            name = str(parent)
            if name != "/" and not isinstance(by_path.setdefault(name, Directory(name)), Directory):
                raise BuildError("a path is both a file and a directory", where=name)
    return [by_path[path] for path in sorted(by_path)]


def _write_entry(tar: _HashingWriter, entry: Entry) -> None:
    header = tarfile.TarInfo(entry.path.removeprefix("/"))
    header.mtime = 0
    match entry:
        case Directory():
            header.type, header.mode = tarfile.DIRTYPE, entry.mode
        case Link():
            header.type, header.mode, header.linkname = tarfile.SYMTYPE, 0o777, entry.target
        case File():
            opened = entry.content()
            if opened is None:
                return
            stream, header.size = opened
            header.mode = entry.mode
            with stream:
                tar.write(header.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict"))
                _copy(stream, tar, entry, header.size)
            return
    tar.write(header.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict"))


def _copy(stream: BinaryIO, tar: _HashingWriter, entry: File, size_bytes: int) -> None:
    seen, left = hashlib.sha256(), size_bytes
    while chunk := stream.read(CHUNK_BYTES):
        left -= len(chunk)
        seen.update(chunk)
        tar.write(chunk)
    if left or (entry.digest and entry.digest != f"sha256:{seen.hexdigest()}"):
        raise ModelChangedError(
            "the bytes are not the ones that the build was asked for",
            where=entry.path,
            fix="Something changed the file while the image was built, or it is damaged: build again.",
        )
    tar.write(bytes(-size_bytes % BLOCK_BYTES))
