"""Entries of a zip (PKWARE APPNOTE 6.3.10): stored or deflated, one after another, not encrypted."""

import stat
import zipfile
from collections.abc import Iterator
from typing import BinaryIO

from cloud_hub.archives.entry import Entry
from cloud_hub.archives.errors import ArchiveRefusedError
from cloud_hub.archives.tree import Tree

METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
ENCRYPTED = 0x1 | 0x40 | 0x2000
LOCAL_HEADER_BYTES = 30
SET_ID = 0o6000


def zip_entries(file: BinaryIO, tree: Tree) -> Iterator[Entry]:
    """Yield the entries of a zip; raises `ArchiveRefusedError`, `zipfile.BadZipFile`, `zlib.error`."""
    with zipfile.ZipFile(file) as archive:
        found = archive.infolist()
        if len(found) > tree.limits.max_entries:
            raise ArchiveRefusedError("many-entries", f"more than {tree.limits.max_entries} entries")
        check_layout(found, archive.start_dir)
        # All claims before any work: what is read later cannot be more than what is claimed.
        for info in found:
            check_entry(info)
            tree.expand(info.file_size)
        for info in found:
            if info.is_dir():
                yield Entry(info.filename, 0, None)
                continue
            with archive.open(info) as content:
                yield Entry(info.filename, info.file_size, content)


def check_layout(found: list[zipfile.ZipInfo], directory_at: int) -> None:
    """Refuse bytes before the first entry, and entries that share bytes (Fifield's bomb)."""
    at = 0
    for info in sorted(found, key=lambda each: each.header_offset):
        if at == 0 and info.header_offset != 0:
            raise ArchiveRefusedError("bytes-before", "something stands before the first entry")
        if info.header_offset < at:
            raise ArchiveRefusedError("overlap", "entries share bytes")
        at = info.header_offset + LOCAL_HEADER_BYTES + len(info.orig_filename.encode()) + info.compress_size
    if at > directory_at:
        raise ArchiveRefusedError("overlap", "entries share bytes")


def check_entry(info: zipfile.ZipInfo) -> None:
    """Refuse what is neither a plain file nor a folder; raises `ArchiveRefusedError`."""
    mode = info.external_attr >> 16
    kind = stat.S_IFMT(mode)
    if info.orig_filename != info.filename:
        raise ArchiveRefusedError("bad-letter", "an entry's name holds a zero byte")
    if kind == stat.S_IFLNK:
        raise ArchiveRefusedError("link", "links are not allowed")
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise ArchiveRefusedError("special", "devices, pipes and other special entries are not allowed")
    if (kind == stat.S_IFDIR) != info.is_dir() and kind != 0:
        raise ArchiveRefusedError("no-name", "a file has the name of a folder, or a folder that of a file")
    if mode & SET_ID and not info.is_dir():
        raise ArchiveRefusedError("set-id", "files with set-user-id or set-group-id are not allowed")
    if info.is_dir() and (info.file_size or info.compress_size > 2):
        raise ArchiveRefusedError("no-name", "a folder has content")
    if info.flag_bits & ENCRYPTED:
        raise ArchiveRefusedError("encrypted", "encrypted entries are not allowed")
    if info.compress_type not in METHODS:
        raise ArchiveRefusedError("method", "only stored and deflated entries are allowed")
