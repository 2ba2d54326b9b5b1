"""Recipes: how the exact tar of a layer is made again from the folder that it was unpacked into.

A layer is kept unpacked, a delta is made against its tar. While it is unpacked, all of the tar that
is not a file's content (headers, padding, the end) goes into a recipe, compressed; contents are named by
their path. What a recipe leads to counts only by its digest: a file that was changed since gives another.

A recipe is a line that names the version, then records, all in zstd: length of literal bytes (8 bytes,
little-endian), these bytes, length of a path (4 bytes), the path, size of that file (8 bytes). The last
record has no path; so have those before it whose length of a path is all ones: they only go on.
"""

import bisect
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, cast

from agent.artifacts.errors import RecipeUnusableError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAGIC: Final = b"headland recipe 1\n"
# More is no layer of files, and no delta is worth its room on the device's disk.
MAX_LITERAL_BYTES: Final = 256 * 1024 * 1024
MAX_FILES: Final = 200_000
MAX_PATH_BYTES: Final = 4096
CHUNK_BYTES: Final = 256 * 1024
GOES_ON: Final = 0xFFFFFFFF  # in place of a path's length: more literals come
WINDOW_LOG: Final = 20
LEVEL: Final = 3


class RecipeWriter:
    """Is told of a tar as it is read (`take`), and of its entries, before any of the next is taken."""

    def __init__(self, target: BinaryIO) -> None:
        options = {
            int(zstd.CompressionParameter.compression_level): LEVEL,
            int(zstd.CompressionParameter.window_log): WINDOW_LOG,
        }
        self._file = zstd.ZstdFile(target, "w", options=options)
        self._file.write(MAGIC)
        self._buffer = bytearray()
        self._at = 0  # offset in the tar of the buffer's start
        self._skip_to = 0
        self._literal_bytes = 0
        self._usable = True

    def take(self, data: bytes) -> None:
        """Take the next bytes of the tar; contents of files are only counted."""
        if not self._buffer:
            skipped = min(len(data), max(0, self._skip_to - self._at))
            self._at += skipped
            data = data[skipped:]
        if self._usable:
            self._buffer += data

    def entry(self, content_at: int) -> None:
        """Say that all before ``content_at`` is headers and padding, but for contents that were told of."""
        if self._usable and content_at - self._at >= CHUNK_BYTES:
            self._record(content_at - self._at, GOES_ON, b"", 0)

    def content(self, path: tuple[str, ...], at: int, size_bytes: int) -> None:
        """Say that the bytes from ``at`` are the content of a file."""
        name = os.fsencode("/".join(path))
        self._usable = self._usable and len(name) <= MAX_PATH_BYTES
        if self._usable:
            self._record(at - self._at, len(name), name, size_bytes)
            self._skip_to = at + size_bytes
            dropped = min(len(self._buffer), size_bytes)
            del self._buffer[:dropped]
            self._at += dropped

    def rest(self) -> None:
        """Say that there are no more entries: what was taken, and comes, is padding."""
        if self._usable and self._buffer:
            self._record(len(self._buffer), GOES_ON, b"", 0)

    def finish(self) -> bool:
        """Write the end; say whether the recipe is of use."""
        if self._usable:
            self._record(len(self._buffer), 0, b"", 0)
        self._file.close()
        return self._usable

    def _record(self, literals: int, length: int, name: bytes, size_bytes: int) -> None:
        self._literal_bytes += literals
        if self._literal_bytes > MAX_LITERAL_BYTES:
            self._usable = False
            self._buffer.clear()
            return
        self._file.write(literals.to_bytes(8, "little"))
        self._file.write(self._buffer[:literals])
        self._file.write(length.to_bytes(4, "little") + name + size_bytes.to_bytes(8, "little"))
        del self._buffer[:literals]
        self._at += literals


class LayerTar:
    """The tar of an unpacked layer, read at any place; made by `layer_tar`."""

    def __init__(self, folder: Path, literals: BinaryIO) -> None:
        self._folder = folder
        self._literals = literals
        # By part: where it begins in the tar, where its literals begin in their file, the file's path or "".
        self._starts: list[int] = []
        self._sources: list[int] = []
        self._names: list[bytes] = []
        self.size_bytes = 0
        self._open_part = -1
        self._open_file: BinaryIO | None = None

    def read(self, at: int, size: int) -> bytes:
        """Return ``size`` bytes from ``at``, fewer only at the end; raises `RecipeUnusableError`."""
        pieces = []
        end = min(at + size, self.size_bytes)
        part = bisect.bisect_right(self._starts, at) - 1
        with _usable():
            while at < end:
                stop = self._starts[part + 1] if part + 1 < len(self._starts) else self.size_bytes
                pieces.append(self._part(part, at - self._starts[part], min(end, stop) - at))
                at += len(pieces[-1])
                part += 1
        return b"".join(pieces)

    def pieces(self) -> Iterator[bytes]:
        """Yield all of the tar."""
        for at in range(0, self.size_bytes, CHUNK_BYTES):
            yield self.read(at, CHUNK_BYTES)

    def close(self) -> None:
        """Close the files."""
        self._literals.close()
        if self._open_file is not None:
            self._open_file.close()

    def load(self, recipe: BinaryIO) -> None:
        """Read the recipe: literals go to their file, the rest is remembered."""
        if recipe.read(len(MAGIC)) != MAGIC:
            raise RecipeUnusableError("it is of another version")
        written, length = 0, GOES_ON
        while length:
            left = _number(recipe, 8)
            if written + left > MAX_LITERAL_BYTES or len(self._names) > 2 * MAX_FILES:
                raise RecipeUnusableError("it is larger than allowed")
            self._add(left, written, b"")
            written += left
            while left:
                chunk = _exactly(recipe, min(left, CHUNK_BYTES))
                self._literals.write(chunk)
                left -= len(chunk)
            length = _number(recipe, 4)
            if length != GOES_ON and length > MAX_PATH_BYTES:
                raise RecipeUnusableError("a path is longer than allowed")
            name = b"" if length == GOES_ON else _exactly(recipe, length)
            size = _number(recipe, 8)
            if name:
                self._add(size, 0, name)

    def _add(self, size: int, source: int, name: bytes) -> None:
        if size:
            self._starts.append(self.size_bytes)
            self._sources.append(source)
            self._names.append(name)
            self.size_bytes += size

    def _part(self, part: int, offset: int, size: int) -> bytes:
        if not self._names[part]:
            self._literals.seek(self._sources[part] + offset)
            return _exactly(self._literals, size)
        if self._open_part != part:
            if self._open_file is not None:
                self._open_file.close()
            end = self._starts[part + 1] if part + 1 < len(self._starts) else self.size_bytes
            self._open_file = _content(self._folder, self._names[part], end - self._starts[part])
            self._open_part = part
        if self._open_file is None:
            raise RecipeUnusableError("a file cannot be read")
        self._open_file.seek(offset)
        return _exactly(self._open_file, size)


@contextmanager
def layer_tar(folder: Path, recipe: Path, work_dir: Path) -> Iterator[LayerTar]:
    """Open the tar of the layer in ``folder``; its literals go to a file in ``work_dir``.

    Raises `RecipeUnusableError`.
    """
    with tempfile.TemporaryFile(dir=work_dir) as literals:
        tar = LayerTar(folder, literals)
        options = {int(zstd.DecompressionParameter.window_log_max): WINDOW_LOG}
        with _usable(), recipe.open("rb") as raw, zstd.ZstdFile(raw, "r", options=options) as opened:
            tar.load(cast(BinaryIO, opened))
        try:
            yield tar
        finally:
            tar.close()


@contextmanager
def _usable() -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, ValueError, zstd.ZstdError) as error:
        raise RecipeUnusableError(f"it cannot be read ({type(error).__name__})") from error


def _content(folder: Path, name: bytes, size_bytes: int) -> BinaryIO:
    """Open a file of the layer, through no link; what is not as it was unpacked is refused."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    *folders, last = os.fsdecode(name).split("/")
    if {"", ".", ".."} & {*folders, last}:
        raise RecipeUnusableError("a path leads elsewhere")
    current = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in folders:
            deeper = os.open(part, flags | os.O_DIRECTORY, dir_fd=current)
            os.close(current)
            current = deeper
        file = os.fdopen(os.open(last, flags, dir_fd=current), "rb")
    finally:
        os.close(current)
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode) or found.st_size != size_bytes:
        file.close()
        raise RecipeUnusableError("a file is not as it was unpacked")
    return file


def _exactly(source: BinaryIO, size: int) -> bytes:
    found = source.read(size)
    while len(found) < size:
        more = source.read(size - len(found))
        if not more:
            raise RecipeUnusableError("it is cut off, or a file is")
        found += more
    return found


def _number(source: BinaryIO, size: int) -> int:
    return int.from_bytes(_exactly(source, size), "little")
