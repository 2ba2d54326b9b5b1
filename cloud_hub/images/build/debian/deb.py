"""Unpacking Debian packages (deb(5), version 2.0) without dpkg: the files that an image needs."""

import io
import lzma
import posixpath
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

from cloud_hub.images.build.errors import DebianFetchError
from cloud_hub.images.build.layer_tar import CHUNK_BYTES, Entry, File, Link, from_path
from cloud_hub.images.build.layout import check_member

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_MAGIC: Final = b"!<arch>\n"
_HEADER_BYTES: Final = 60
_PACKED_LIMIT_BYTES: Final = 64 << 20
_UNPACKED_LIMIT_BYTES: Final = 256 << 20


@dataclass(frozen=True)
class Unpacked:
    """A file of a package on disk, or a link that is not."""

    path: str
    mode: int
    target: str = ""

    def entry(self, root: Path) -> Entry:
        """Return it as an entry of a layer."""
        if self.target:
            return Link(self.path, self.target)
        return File(self.path, from_path(root / self.path[1:]), self.mode)


def unpack(deb: Path, root: Path, keep: Callable[[str], bool]) -> list[Unpacked]:
    """Write the files of a package that ``keep`` wants below ``root``; return them with its links.

    Nothing is written outside ``root``, and no link is followed or made. Raises `DebianFetchError`.
    """
    found, size_bytes = [], 0
    try:
        with _data(deb) as tar:
            for member in tar:
                path = posixpath.normpath(f"/{member.name}")
                if member.isdir() or not keep(path):
                    continue
                check_member(path)
                size_bytes += member.size
                if size_bytes > _UNPACKED_LIMIT_BYTES:
                    raise _damaged(deb, "it is too large")
                found.append(_one(tar, member, path, root))
    except (tarfile.TarError, lzma.LZMAError, zstd.ZstdError, zlib.error, EOFError, ValueError) as error:
        raise _damaged(deb, "it cannot be read") from error
    return found


def _one(tar: tarfile.TarFile, member: tarfile.TarInfo, path: str, root: Path) -> Unpacked:
    if member.issym():
        folder = posixpath.dirname(path)
        absolute = posixpath.normpath(posixpath.join(folder, member.linkname))
        return Unpacked(path, 0o777, posixpath.relpath(check_member(absolute), folder))
    stream = tar.extractfile(member) if member.isreg() else None
    if stream is None:
        raise tarfile.TarError("a hard link or a device")
    mode = 0o755 if member.mode & 0o111 else 0o644
    target = root / path[1:]
    target.parent.mkdir(parents=True, exist_ok=True)
    with stream, target.open("xb") as file:
        while chunk := stream.read(CHUNK_BYTES):
            file.write(chunk)
    target.chmod(mode)
    return Unpacked(path, mode)


@contextmanager
def _data(deb: Path) -> Iterator[tarfile.TarFile]:
    """Open the tar of a package's files: the member ``data.tar`` of an ar archive, compressed."""
    if deb.stat().st_size > _PACKED_LIMIT_BYTES:
        raise _damaged(deb, "it is too large")
    with deb.open("rb") as stream:
        if stream.read(len(_MAGIC)) != _MAGIC:
            raise _damaged(deb, "it is no Debian package")
        while header := stream.read(_HEADER_BYTES):
            name, size = header[:16].decode("ascii").strip().rstrip("/"), int(header[48:58])
            body = stream.read(size)
            stream.read(size % 2)
            if name.startswith("data.tar"):
                packed = io.BytesIO(body)
                plain = zstd.ZstdFile(packed) if name.endswith(".zst") else packed
                mode = "r|" if name.endswith(".zst") else "r|*"
                with tarfile.open(fileobj=cast(BinaryIO, plain), mode=mode) as tar:  # type: ignore[call-overload]
                    yield tar
                return
    raise _damaged(deb, "it holds no files")


def _damaged(deb: Path, reason: str) -> DebianFetchError:
    return DebianFetchError(reason, where=deb.name, fix="Delete it from the hub's cache, and build again.")
