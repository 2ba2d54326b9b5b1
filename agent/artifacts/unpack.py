"""Unpacks a layer without trusting it (OCI image specification 1.1, "Image Layer Filesystem Changeset").

Only files, folders, symbolic links and hard links within the layer; nothing outside the target is
touched, since every component is opened without following links. Owners are not restored and
set-id bits are dropped. Whiteouts are kept as files (`agent.layers`). Own code, not `tarfile`'s filters:
those are absent or broken in Pythons that devices have (CVE-2025-4517).
"""

import hashlib
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from agent.artifacts.compression import COMPRESSION_ERRORS, decompressed
from agent.artifacts.errors import LayerRefusedError
from agent.artifacts.recipe import RecipeWriter
from agent.layers import MARK, OPAQUE, WHITEOUT

MAX_BYTES = 8 * 1024**3
MAX_ENTRIES = 200_000
MAX_HEADER_BYTES = 64 * 1024
EXTENSIONS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
CHUNK_BYTES = 256 * 1024
WATCH_BYTES = 1024**2


class Source(Protocol):
    """A tar that is read once, from its start to its end."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, and none only at the end."""
        ...


def unpack(
    layer: Path,
    target: Path,
    *,
    recipe: RecipeWriter | None = None,
    max_bytes: int = MAX_BYTES,
    max_entries: int = MAX_ENTRIES,
    watch: Callable[[], None] = lambda: None,
) -> str:
    """Unpack a tar, plain or with gzip or zstd, into the empty folder ``target``; return its diff id.

    ``watch`` is called for each MiB, and may raise. Raises `LayerRefusedError`; the target then holds
    what was unpacked before and is to be deleted.
    """
    try:
        with layer.open("rb") as raw, decompressed(raw) as plain:
            return unpack_tar(
                plain, target, recipe=recipe, max_bytes=max_bytes, max_entries=max_entries, watch=watch
            )
    except COMPRESSION_ERRORS as error:
        raise LayerRefusedError(f"the layer is no tar ({error})") from error


def unpack_tar(
    source: Source,
    target: Path,
    *,
    recipe: RecipeWriter | None = None,
    max_bytes: int = MAX_BYTES,
    max_entries: int = MAX_ENTRIES,
    watch: Callable[[], None] = lambda: None,
) -> str:
    """Unpack a plain tar as `unpack` does; ``recipe`` is told of it, and finished by the caller."""
    stream = _Digesting(source, max_bytes, recipe, watch)
    try:
        _Unpacker(target, recipe).run(stream, max_entries)
        stream.drain()
    except (tarfile.TarError, EOFError, ValueError, RecursionError, *COMPRESSION_ERRORS) as error:
        # `tarfile` lets ValueError out for headers that are not numbers, and recurses for each long name.
        raise LayerRefusedError(f"the layer is no tar ({error})") from error
    return f"sha256:{stream.digest.hexdigest()}"


class _Digesting:
    """A stream that is digested as it is read, and ends with an error beyond its bound."""

    def __init__(
        self, source: Source, max_bytes: int, recipe: RecipeWriter | None, watch: Callable[[], None]
    ) -> None:
        self._watch = watch
        self._unwatched = 0
        self._source = source
        self._left = max_bytes
        self._recipe = recipe
        self.digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        """Read as `tarfile` asks."""
        data = self._source.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise LayerRefusedError("the layer is larger than allowed")
        self._unwatched += len(data)
        if self._unwatched >= WATCH_BYTES:
            self._unwatched = 0
            self._watch()
        self.digest.update(data)
        if self._recipe is not None:
            self._recipe.take(data)
        return data

    def drain(self) -> None:
        """Read what stands behind the tar's end: it is part of the diff id too."""
        while self.read(CHUNK_BYTES):
            if self._recipe is not None:
                self._recipe.rest()


class _BoundedHeader(tarfile.TarInfo):
    """A header whose extensions have a bound: `tarfile` reads each of them into memory as a whole."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in EXTENSIONS and self.size > MAX_HEADER_BYTES:
            raise LayerRefusedError("an entry's header is larger than allowed")
        if self.type == tarfile.GNUTYPE_SPARSE:
            raise LayerRefusedError("sparse files are not allowed")
        return super()._proc_member(tar)  # type: ignore[misc,no-any-return]


class _Unpacker:
    def __init__(self, target: Path, recipe: RecipeWriter | None) -> None:
        self._target = target
        self._recipe = recipe
        self._files: set[tuple[str, ...]] = set()
        self._seen: set[tuple[str, ...]] = set()

    def run(self, stream: _Digesting, max_entries: int) -> None:
        with tarfile.open(  # type: ignore[call-overload]
            fileobj=stream, mode="r|", errorlevel=2, tarinfo=_BoundedHeader
        ) as tar:
            for count, member in enumerate(tar, start=1):
                if count > max_entries:
                    raise LayerRefusedError("the layer has more entries than allowed")
                if self._recipe is not None:
                    self._recipe.entry(member.offset_data)
                self._member(tar, member)

    def _member(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        parts = _parts(member.name)
        if not parts:
            return
        if parts in self._seen and not member.isdir():
            raise LayerRefusedError("an entry stands twice")
        self._seen.add(parts)
        if parts[-1].startswith(WHITEOUT):
            self._mark(member, parts)
        with self._folder(parts[:-1]) as folder:
            self._place(tar, member, parts, folder)

    def _mark(self, member: tarfile.TarInfo, parts: tuple[str, ...]) -> None:
        """See to it that the layer says that it has whiteouts."""
        name = parts[-1]
        hidden = name.removeprefix(WHITEOUT)
        plain = member.isreg() and member.size == 0 and hidden not in {"", ".", ".."}
        if not plain or (hidden.startswith(WHITEOUT) and name != OPAQUE):
            raise LayerRefusedError("a whiteout is not an empty file of the specification")
        if not (self._target / MARK).exists():
            (self._target / MARK).touch()

    def _place(
        self, tar: tarfile.TarFile, member: tarfile.TarInfo, parts: tuple[str, ...], folder: int
    ) -> None:
        name = parts[-1]
        if member.issparse():
            raise LayerRefusedError("sparse files are not allowed")
        try:
            if member.isdir():
                _make_folder(folder, name, member.mode)
            elif member.isreg():
                self._write(tar, member, folder, parts)
                self._files.add(parts)
            elif member.issym():
                os.symlink(member.linkname, name, dir_fd=folder)
            elif member.islnk():
                self._hard_link(_parts(member.linkname), folder, name)
            else:
                raise LayerRefusedError("devices and pipes are not allowed")
        except FileExistsError as error:
            raise LayerRefusedError("an entry stands twice") from error

    def _write(
        self, tar: tarfile.TarFile, member: tarfile.TarInfo, folder: int, parts: tuple[str, ...]
    ) -> None:
        if self._recipe is not None and member.size:
            self._recipe.content(parts, member.offset_data, member.size)
        source = tar.extractfile(member)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(parts[-1], flags, 0o600, dir_fd=folder)
        with os.fdopen(descriptor, "wb") as file:
            while source is not None and (chunk := source.read(CHUNK_BYTES)):
                file.write(chunk)
            os.fchmod(file.fileno(), (member.mode & 0o755) | 0o600)
            file.flush()
            os.utime(file.fileno(), (member.mtime, member.mtime))

    def _hard_link(self, source: tuple[str, ...], folder: int, name: str) -> None:
        if source not in self._files:
            raise LayerRefusedError("a hard link leads out of the layer")
        with self._folder(source[:-1]) as source_folder:
            os.link(source[-1], name, src_dir_fd=source_folder, dst_dir_fd=folder, follow_symlinks=False)

    @contextmanager
    def _folder(self, parts: tuple[str, ...]) -> Iterator[int]:
        """Open a folder below the target, component by component, making what is missing."""
        current = os.open(self._target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts:
                _make_folder(current, part, 0o755)
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                try:
                    deeper = os.open(part, flags, dir_fd=current)
                except OSError as error:
                    raise LayerRefusedError("an entry leads through a link or a file") from error
                os.close(current)
                current = deeper
            yield current
        finally:
            os.close(current)


def _parts(name: str) -> tuple[str, ...]:
    if name.startswith("/") or "\0" in name:
        raise LayerRefusedError("an entry has an absolute name")
    parts = tuple(part for part in name.split("/") if part not in {"", "."})
    if ".." in parts:
        raise LayerRefusedError("an entry leads out of the layer")
    return parts


def _make_folder(folder: int, name: str, mode: int) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=folder)
    except FileExistsError:
        return
    # Not by mkdir: the daemon's umask must not decide what a container's user can read.
    os.chmod(name, (mode & 0o755) | 0o700, dir_fd=folder)
