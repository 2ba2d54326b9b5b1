"""Unpacks one layer into an empty folder, and nowhere else.

Each component of each name is opened on its own, relative to the folder before it and never through
a symbolic link; so nothing in an archive can lead out. Taken are regular files, folders, symbolic
links (as they are, never followed) and hard links to files unpacked before. All else is refused:
absolute names, ``..``, devices, fifos, sparse files, names given twice, whiteouts, and more bytes or
members than allowed. Modes lose setuid, setgid and sticky bits; owners and extended attributes are
not restored; times of files are, since Python's compiled files depend on them.
"""

import gzip
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from agent.artifacts.store import storing
from agent.artifacts.tar_reader import CHUNK, Kind, Member, MeteredStream, TarReader, UnpackError
from contract.oci import LAYER_GZIP, LAYER_TAR

FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
NAME_MAX: Final = 4096
TIME_MAX: Final = 2**33


@dataclass(frozen=True)
class UnpackLimits:
    """The most that one layer may hold, uncompressed."""

    total_bytes: int = 8 * 1024**3
    members: int = 200_000


@dataclass(frozen=True)
class Unpacked:
    """What came out: the digest and size of the uncompressed tar, and how many members it had."""

    diff_id: str
    size_bytes: int
    members: int


def unpack_layer(
    source: BinaryIO, media_type: str, target: Path, limits: UnpackLimits = UnpackLimits()
) -> Unpacked:
    """Unpack ``source``, a layer of ``media_type``, into the empty folder ``target``.

    Raises `UnpackError` for the archive's fault, `StoreError` for the disk's; ``target`` is then
    half filled and must be thrown away.
    """
    with storing(str(target)), _refusing():
        stream = MeteredStream(_uncompressed(source, media_type), limits.total_bytes)
        tree = _Tree(target)
        try:
            reader, members = TarReader(stream, limits.members), 0
            for member in reader:
                members += 1
                tree.add(member, reader)
        finally:
            tree.close()
    return Unpacked(stream.digest, stream.read_bytes, members)


def _uncompressed(source: BinaryIO, media_type: str) -> BinaryIO:
    if media_type == LAYER_GZIP:
        return gzip.GzipFile(fileobj=source, mode="rb")  # type: ignore[return-value]  # it reads as one
    if media_type == LAYER_TAR:
        return source
    raise UnpackError("layers of this media type are not supported", where="layer", fix=f"Use {LAYER_GZIP}.")


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UnpackError("its compression is damaged", where="archive", fix="Pull it again.") from error


class _Tree:
    """The folder that is filled; holds the descriptors of it and of the folder used last."""

    def __init__(self, target: Path) -> None:
        self._root = os.open(target, FOLDER_FLAGS)
        self._last: tuple[tuple[str, ...], int] = ((), os.dup(self._root))
        self._folders: set[tuple[str, ...]] = set()

    def close(self) -> None:
        os.close(self._last[1])
        os.close(self._root)

    def add(self, member: Member, reader: TarReader) -> None:
        parts = _parts(member.name)
        if not parts:
            if member.kind is not Kind.FOLDER:
                raise _refused("a member is named like the root")
            return
        if parts[-1].startswith(".wh."):
            raise _refused("whiteouts (deleted files) are not supported yet")
        try:
            self._add(member, parts, reader)
        except FileExistsError as error:
            raise _refused("a name is given twice") from error

    def _add(self, member: Member, parts: tuple[str, ...], reader: TarReader) -> None:
        parent, name = self._open(parts[:-1], create=True), parts[-1]
        match member.kind:
            case Kind.FILE:
                self._write(member, parent, name, reader)
            case Kind.FOLDER:
                self._make_folder(member, parent, parts)
            case Kind.SYMLINK:
                if not member.link or len(member.link) > NAME_MAX:
                    raise _refused("a symbolic link has no target, or too long a one")
                os.symlink(member.link, name, dir_fd=parent)
            case Kind.HARDLINK:
                self._link(member, parts)

    def _write(self, member: Member, parent: int, name: str, reader: TarReader) -> None:
        descriptor = os.open(name, FILE_FLAGS, 0o600, dir_fd=parent)
        with os.fdopen(descriptor, "wb", buffering=CHUNK) as file:
            for chunk in reader.data():
                file.write(chunk)
            file.flush()
            os.fchmod(descriptor, member.mode & 0o777 | 0o400)
            modified_at = min(member.modified_at, TIME_MAX)
            os.utime(descriptor, (modified_at, modified_at))

    def _make_folder(self, member: Member, parent: int, parts: tuple[str, ...]) -> None:
        if parts in self._folders:
            raise _refused("a name is given twice")
        self._folders.add(parts)
        try:
            os.mkdir(parts[-1], 0o700, dir_fd=parent)
        except FileExistsError:  # made before for what is in it: only its mode is new
            if not stat.S_ISDIR(os.stat(parts[-1], dir_fd=parent, follow_symlinks=False).st_mode):
                raise
        os.fchmod(self._open(parts, create=False), member.mode & 0o777 | 0o700)

    def _link(self, member: Member, parts: tuple[str, ...]) -> None:
        source = _parts(member.link)
        if not source:
            raise _refused("a hard link has no target")
        folder = os.dup(self._open(source[:-1], create=False))
        try:
            if not stat.S_ISREG(os.stat(source[-1], dir_fd=folder, follow_symlinks=False).st_mode):
                raise _refused("a hard link leads to what is not a regular file")
            parent = self._open(parts[:-1], create=True)
            os.link(source[-1], parts[-1], src_dir_fd=folder, dst_dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError as error:
            raise _refused("a hard link leads to a file that was not unpacked before it") from error
        finally:
            os.close(folder)

    def _open(self, parts: tuple[str, ...], *, create: bool) -> int:
        """Return the descriptor of a folder; it is good until the next call."""
        if self._last[0] == parts:
            return self._last[1]
        here = os.dup(self._root)
        for part in parts:
            try:
                inner = _step(here, part, create=create)
            finally:
                os.close(here)
            here = inner
        os.close(self._last[1])
        self._last = (parts, here)
        return here


def _step(here: int, part: str, *, create: bool) -> int:
    try:
        return os.open(part, FOLDER_FLAGS, dir_fd=here)
    except FileNotFoundError as error:
        if not create:
            raise _refused("a link leads to a folder that is not there") from error
        os.mkdir(part, 0o700, dir_fd=here)
        inner = os.open(part, FOLDER_FLAGS, dir_fd=here)
        os.fchmod(inner, 0o755)  # whatever the umask
        return inner
    except OSError as error:  # ELOOP or ENOTDIR
        if stat.S_ISDIR(os.stat(part, dir_fd=here, follow_symlinks=False).st_mode):
            raise
        raise _refused("a name goes through what is not a folder") from error


def _parts(name: str) -> tuple[str, ...]:
    if name.startswith("/"):
        raise _refused("a name is absolute")
    parts = tuple(part for part in name.split("/") if part not in {"", "."})
    if ".." in parts:
        raise _refused("a name holds '..'")
    if len(name) > NAME_MAX or any(len(os.fsencode(part)) > 255 for part in parts):
        raise _refused("a name is too long")
    return parts


def _refused(what: str) -> UnpackError:
    return UnpackError(what, where="archive", fix="Build the image without it.")
