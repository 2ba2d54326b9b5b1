"""What the confined child does: read the layers of a base to their ends, and tell what is in them.

It writes nothing and runs nothing. A layer is a tar, plain, gzip- or zstd-compressed, as its first bytes say.
"""

import dataclasses
import gzip
import hashlib
import re
import struct
import sys
import tarfile
import zlib
from pathlib import Path
from typing import IO, Any, Final, Protocol

from cloud_hub.archives.errors import ArchiveRefusedError
from cloud_hub.archives.limits import ArchiveLimits
from cloud_hub.archives.tar_entries import header_class
from cloud_hub.archives.tree import Tree
from cloud_hub.images.bases.errors import BaseUnfitError
from cloud_hub.images.bases.image_tree import ImageTree, Node, plain
from cloud_hub.images.bases.python_finding import find_python

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CHUNK_BYTES: Final = 256 * 1024
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
DAMAGE = (tarfile.TarError, gzip.BadGzipFile, zlib.error, zstd.ZstdError, EOFError, UnicodeError, ValueError,
          OverflowError, IndexError, KeyError, RecursionError)  # fmt: skip
INTERESTING: Final = re.compile(
    r"(?:.*/)?(?:python3?(?:\.[0-9]{1,2})?|pypy[0-9.]*|python3\.[0-9]{1,2}/os\.py|ld-[^/]*|libpython3\.[^/]*|libc\.so\.6|libc-2\.[0-9]+\.so)"
)
GLIBC: Final = re.compile(rb"GNU C Library [^\n\0]{0,100}release version (2\.[0-9]{1,3})")
HEAD_BYTES: Final = 4096
MAX_PROGRAM_BYTES: Final = 64 * 1024**2
# Linkers let a string begin within another one ("/versions/3.11.7"), so only its end is sure.
VERSION: Final = re.compile(rb"(?<![0-9.])(3\.[0-9]{1,2}\.[0-9]{1,2})\+?\0")
MAX_VERSIONS: Final = 20
_ELF: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT: Final = struct.Struct("<IIQQQQQQ")
PT_INTERP: Final = 3


class _Source(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...


def confined(request: dict[str, Any]) -> dict[str, Any]:
    """Read ``layers`` (paths of files, lowest first) within ``limits`` (those of `ArchiveLimits`).

    ``environment`` and ``platform`` are those of the image. Answers ``{"diff_ids": [...], "python": {...}}``
    (that of `BasePython`; ``"unfit"`` with the reason instead), ``{"layer", "what"}`` for one that is
    refused, or ``{"errno"}``.
    """
    limits, tree, diff_ids = ArchiveLimits(**request["limits"]), ImageTree(), list[str]()
    total_bytes = 0
    for number, path in enumerate(request["layers"]):
        try:
            with Path(path).open("rb") as file:
                bounds = Tree(limits, Path(path).stat().st_size)
                tree.begin_layer()
                diff_ids.append(_walk(file, bounds, tree))
            total_bytes += bounds.expanded_bytes
            if total_bytes > limits.max_total_bytes:
                return {"layer": number, "what": f"all layers may have {limits.max_total_bytes} bytes"}
        except ArchiveRefusedError as error:
            return {"layer": number, "what": error.what}
        except DAMAGE:
            return {"layer": number, "what": "it is damaged or cut off"}
        except OSError as error:
            return {"errno": error.errno or 0}
    try:
        python = find_python(tree, request["environment"], request["platform"], where="")
    except BaseUnfitError as error:
        return {"diff_ids": diff_ids, "unfit": error.what}
    return {"diff_ids": diff_ids, "python": dataclasses.asdict(python)}


class _Hashed:
    """Decompressed bytes on their way to `tarfile`, counted and hashed."""

    def __init__(self, source: _Source, bounds: Tree) -> None:
        self._source = source
        self._bounds = bounds
        self._hash = hashlib.sha256()

    def read(self, size: int = CHUNK_BYTES, /) -> bytes:
        data = self._source.read(size)
        self._bounds.expand(len(data))
        self._hash.update(data)
        return data

    def diff_id(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


def _walk(file: IO[bytes], bounds: Tree, tree: ImageTree) -> str:
    """Take a layer into ``tree`` and return its diff id."""
    head = file.read(4)
    file.seek(0)
    source: _Source = file
    if head.startswith(GZIP):
        source = gzip.GzipFile(fileobj=file)
    elif head == ZSTD:
        source = zstd.ZstdFile(file)
    stream = _Hashed(source, bounds)
    with tarfile.open(  # type: ignore[call-overload]
        fileobj=stream, mode="r|", errorlevel=2, tarinfo=header_class(bounds), encoding="utf-8",
        errors="surrogateescape",
    ) as tar:  # fmt: skip
        while (member := tar.next()) is not None:
            bounds.count()
            _take(tar, member, tree)
            tar.members.clear()
    while stream.read():
        pass
    return stream.diff_id()


def _take(tar: tarfile.TarFile, member: tarfile.TarInfo, tree: ImageTree) -> None:
    path = plain(member.name)
    if not path or tree.white_out(path):
        return
    if member.isdir():
        tree.folder(path)
    elif member.issym():
        tree.put(path, Node(target=_text(member.linkname)))
    elif member.islnk():
        # The file that it is another name of came before, in this layer or below.
        known = tree.nodes.get(plain(member.linkname))
        tree.put(path, known) if known is not None else tree.gone(path)
    elif member.isreg() and INTERESTING.fullmatch(path):
        content = tar.extractfile(member)
        facts = _facts(path, content.read(_wanted(path, member.size))) if content is not None else {}
        tree.put(path, Node(facts=facts, executable=bool(member.mode & 0o111)))
    else:
        tree.gone(path)


def _text(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _wanted(path: str, size_bytes: int) -> int:
    small = path.endswith("/os.py") or path.rpartition("/")[2].startswith("ld-")
    return min(size_bytes, HEAD_BYTES if small else MAX_PROGRAM_BYTES)


def _facts(path: str, data: bytes) -> dict[str, str]:
    facts: dict[str, str] = {}
    name = path.rpartition("/")[2]
    if name.startswith("libc") and (glibc := GLIBC.search(data)):
        facts["glibc"] = glibc[1].decode()
    if name.startswith(("python", "libpython")) and (
        versions := {one.decode() for one in VERSION.findall(data)}
    ):
        facts["python"] = " ".join(sorted(versions)[:MAX_VERSIONS])
    if not data.startswith(b"\x7fELF\x02\x01") or len(data) < _ELF.size:
        return facts
    header = _ELF.unpack_from(data)
    facts["machine"] = str(header[2])
    table, entry_bytes, count = header[5], header[9], header[10]
    for number in range(min(count, 64)):
        at = table + number * entry_bytes
        if entry_bytes != _SEGMENT.size or at + entry_bytes > len(data):
            break
        kind, _, offset, _, _, size_bytes, *_ = _SEGMENT.unpack_from(data, at)
        if kind == PT_INTERP and size_bytes < 256:
            facts["loader"] = data[offset : offset + size_bytes].rstrip(b"\0").decode("ascii", "replace")
    return facts
