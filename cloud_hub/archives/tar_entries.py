"""Entries of a tar, plain or gzip-compressed (POSIX.1-2001 pax interchange format, and GNU's names).

`tarfile` parses; what it takes for granted is checked here: it ends silently at a damaged header,
reads an extended header into memory whatever its size, and goes backwards at a negative one.
"""

import gzip
import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from cloud_hub.archives.entry import Entry, Readable
from cloud_hub.archives.errors import ArchiveRefusedError
from cloud_hub.archives.limits import ArchiveLimits
from cloud_hub.archives.tree import Tree

EXTENSIONS = {
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
}
PLAIN = {tarfile.REGTYPE, tarfile.AREGTYPE}
LINKS = {tarfile.SYMTYPE, tarfile.LNKTYPE}
SPARSE = "GNU.sparse."
SET_ID = 0o6000
CHUNK_BYTES = 64 * 1024


def tar_entries(file: BinaryIO, tree: Tree, *, compressed: bool) -> Iterator[Entry]:
    """Yield the entries of a tar; raises `ArchiveRefusedError`, `tarfile.TarError`, `OSError`, `EOFError`."""
    plain: Readable = gzip.GzipFile(fileobj=file) if compressed else file
    stream = _Counted(plain, tree)
    with tarfile.open(  # type: ignore[call-overload]
        fileobj=stream,
        mode="r|",
        errorlevel=2,
        tarinfo=header_class(tree),
        encoding="utf-8",
        errors="strict",
    ) as tar:
        while (member := tar.next()) is not None:
            if tree.limits.leave_out_links and member.type in LINKS:
                tree.count()
            else:
                yield _entry(tar, member)
            # It keeps every header it has seen.
            tar.members.clear()
    while stream.read(CHUNK_BYTES):
        pass


class _Counted:
    def __init__(self, source: Readable, tree: Tree) -> None:
        self._source = source
        self._tree = tree

    def read(self, size: int, /) -> bytes:
        data = self._source.read(size)
        self._tree.expand(len(data))
        return data


def header_class(tree: Tree) -> type[tarfile.TarInfo]:
    """Return the class that `tarfile` makes of headers, bounded by the limits of ``tree``."""

    class Header(tarfile.TarInfo):
        @classmethod
        def fromtarfile(cls, tarfile_: tarfile.TarFile) -> "Header":
            try:
                return super().fromtarfile(tarfile_)
            except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
                raise
            except tarfile.HeaderError as error:
                raise ArchiveRefusedError("damaged", "the archive is damaged or cut off") from error

        def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
            _check_header(self, tree)
            return super()._proc_member(tar)  # type: ignore[misc,no-any-return]

    return Header


def _check_header(header: tarfile.TarInfo, tree: Tree) -> None:
    limits: ArchiveLimits = tree.limits
    if header.size < 0:
        raise ArchiveRefusedError("damaged", "an entry has a negative size")
    if header.type in EXTENSIONS:
        tree.count()
        if header.size > limits.max_header_bytes:
            raise ArchiveRefusedError("long-header", "an entry's header is larger than allowed")
    if header.type == tarfile.GNUTYPE_SPARSE:
        raise ArchiveRefusedError("sparse", "sparse files are not allowed")


def _entry(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    if set(tar.pax_headers) - {"comment"}:
        raise ArchiveRefusedError("global-header", "a header speaks for all entries")
    if member.issparse() or any(key.startswith(SPARSE) for key in member.pax_headers):
        raise ArchiveRefusedError("sparse", "sparse files are not allowed")
    if member.type in LINKS:
        raise ArchiveRefusedError("link", "links are not allowed")
    if member.isdir():
        return Entry(member.name, 0, None)
    if member.type not in PLAIN:
        raise ArchiveRefusedError("special", "devices, pipes and other special entries are not allowed")
    if member.mode & SET_ID:
        raise ArchiveRefusedError("set-id", "files with set-user-id or set-group-id are not allowed")
    if member.name.endswith("/"):
        raise ArchiveRefusedError("no-name", "a file has the name of a folder")
    return Entry(member.name, member.size, tar.extractfile(member))
