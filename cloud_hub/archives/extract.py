"""What the confined child does: entries become files in a folder that was made for them."""

import gzip
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from cloud_hub.archives.entry import Entry
from cloud_hub.archives.errors import ArchiveRefusedError
from cloud_hub.archives.limits import ArchiveLimits
from cloud_hub.archives.names import Parts
from cloud_hub.archives.tar_entries import tar_entries
from cloud_hub.archives.tree import Tree
from cloud_hub.archives.zip_entries import zip_entries

CHUNK_BYTES = 256 * 1024
HEAD_BYTES = 512
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FRESH = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
DAMAGE = (
    tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, RecursionError,
    NotImplementedError, UnicodeError, ValueError, OverflowError, IndexError, KeyError,
)  # fmt: skip
"""What the standard library raises of bytes that are no good archive."""


def confined(request: dict[str, Any]) -> dict[str, Any]:
    """Unpack ``archive`` into the empty folder ``target``.

    Answers ``{"files", "file_bytes", "peak_bytes"}``, ``{"rule", "what", "peak_bytes"}`` where it is
    refused, or ``{"errno"}`` where the disk is at fault.
    """
    limits = ArchiveLimits(**request["limits"])
    try:
        with Path(request["archive"]).open("rb") as file:
            tree = Tree(limits, os.fstat(file.fileno()).st_size)
            target = os.open(request["target"], FOLDER)
            for entry in entries_of(file, tree):
                _place(entry, tree, target)
    except ArchiveRefusedError as error:
        return {"rule": error.rule, "what": error.what, "peak_bytes": peak_bytes()}
    except DAMAGE:
        return {"rule": "damaged", "what": "the archive is damaged or cut off", "peak_bytes": peak_bytes()}
    except OSError as error:
        return {"errno": error.errno or 0}
    return {"files": tree.files, "file_bytes": tree.file_bytes, "peak_bytes": peak_bytes()}


def entries_of(file: BinaryIO, tree: Tree) -> Iterator[Entry]:
    """Yield the entries of an archive whose format its first bytes tell."""
    head = file.read(HEAD_BYTES)
    file.seek(0)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return zip_entries(file, tree)
    if head.startswith(b"\x1f\x8b"):
        return tar_entries(file, tree, compressed=True)
    if head[257:262] == b"ustar":
        return tar_entries(file, tree, compressed=False)
    raise ArchiveRefusedError("format", "it is no zip, tar or tar.gz")


def peak_bytes() -> int:
    """Return the most memory that was resident in this process (``VmHWM`` of proc(5))."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _place(entry: Entry, tree: Tree, target: int) -> None:
    parts = tree.add(entry.name, is_folder=entry.content is None, size_bytes=entry.size_bytes)
    with _folder(target, parts if entry.content is None else parts[:-1]) as folder:
        if entry.content is None:
            return
        with os.fdopen(os.open(parts[-1], FRESH, 0o600, dir_fd=folder), "wb") as file:
            left = entry.size_bytes
            while chunk := entry.content.read(CHUNK_BYTES):
                left -= len(chunk)
                file.write(chunk)
        if left != 0:
            raise ArchiveRefusedError("damaged", "a file does not have the size that its header says")


@contextmanager
def _folder(target: int, parts: Parts) -> Iterator[int]:
    """Open a folder below the target part by part, never through a link, making what is missing."""
    current = os.dup(target)
    try:
        for part in parts:
            with suppress(FileExistsError):
                os.mkdir(part, 0o700, dir_fd=current)
            deeper = os.open(part, FOLDER, dir_fd=current)
            os.close(current)
            current = deeper
        yield current
    finally:
        os.close(current)
