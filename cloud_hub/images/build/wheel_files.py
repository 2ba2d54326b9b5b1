"""What a wheel installs, read from its zip without unpacking it (binary distribution format, PEP 427)."""

import posixpath
import stat
import zipfile
import zlib
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import BinaryIO, Final

from cloud_hub.images.build.errors import WheelRefusedError
from cloud_hub.images.build.layer_tar import Content, File
from cloud_hub.images.build.layout import SITE_PACKAGES
from cloud_hub.images.build.ports import Wheel

UNPACKED_LIMIT_BYTES: Final = 1 << 30
MEMBERS_LIMIT: Final = 50_000
OWN_LAYER_BYTES: Final = 4 << 20
ENCRYPTED: Final = 0x1


@dataclass(frozen=True)
class WheelFiles:
    """A wheel that was looked through: its members by the path they get in the image, and their bytes."""

    wheel: Wheel
    members: dict[str, zipfile.ZipInfo]
    size_bytes: int

    def entries(self, closing: ExitStack) -> list[File]:
        """Return the files; they can be read until ``closing`` is closed."""
        archive = closing.enter_context(zipfile.ZipFile(self.wheel.path))
        return [File(path, _content(archive, member)) for path, member in self.members.items()]


def look_through(wheel: Wheel, *, limit_bytes: int = UNPACKED_LIMIT_BYTES) -> WheelFiles:
    """Read the directory of a wheel and check every name, size and kind in it.

    Scripts, headers and data are left out; ``*.data/purelib`` and ``platlib`` are installed as the wheel
    format says. Raises `WheelRefusedError` for anything that a wheel has no reason to hold.
    """
    try:
        with zipfile.ZipFile(wheel.path) as archive:
            infos = archive.infolist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise _refused(wheel, "it is not a readable zip file") from error
    if len(infos) > MEMBERS_LIMIT:
        raise _refused(wheel, f"it has more than {MEMBERS_LIMIT} members")
    members: dict[str, zipfile.ZipInfo] = {}
    size_bytes = 0
    for info in infos:
        _check_member(wheel, info)
        size_bytes += info.file_size
        if size_bytes > limit_bytes:
            raise _refused(wheel, f"unpacked it is larger than {limit_bytes} bytes")
        path = _installed_path(info.filename)
        if path is None or info.is_dir():
            continue
        if path in members:
            raise _refused(wheel, "two members have the same name")
        members[path] = info
    return WheelFiles(wheel, members, size_bytes)


def in_layers(wheels: Iterable[WheelFiles]) -> list[tuple[WheelFiles, ...]]:
    """Group wheels into layers: each large one alone, the small ones together; sorted by file name.

    Raises `WheelRefusedError` if two wheels install the same file: the later layer would win.
    """
    found = sorted(wheels, key=lambda files: files.wheel.filename)
    owners: dict[str, Wheel] = {}
    for files in found:
        for path in files.members:
            if owners.setdefault(path, files.wheel) is not files.wheel:
                raise _refused(files.wheel, f"it installs a file that {owners[path].filename} has too")
    large: list[tuple[WheelFiles, ...]] = [(files,) for files in found if files.size_bytes >= OWN_LAYER_BYTES]
    small = tuple(files for files in found if files.size_bytes < OWN_LAYER_BYTES)
    return [*large, small] if small else large


def _check_member(wheel: Wheel, info: zipfile.ZipInfo) -> None:
    name = info.filename.removesuffix("/")
    # zipfile has turned the machine's own separator into "/" and cut the name at a zero byte.
    plain = name and not name.startswith("/") and posixpath.normpath(name) == name
    if not plain or name.split("/")[0] == ".." or "\\" in name or not name.isprintable():
        raise _refused(wheel, "the name of a member leads outside, or is not plain")
    if info.orig_filename != info.filename:
        raise _refused(wheel, "the name of a member leads outside, or is not plain")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _refused(wheel, "a member is a link or a device")
    if info.flag_bits & ENCRYPTED:
        raise _refused(wheel, "a member is encrypted")


def _installed_path(name: str) -> str | None:
    top, _, rest = name.partition("/")
    if top.endswith(".data"):
        scheme, _, rest = rest.partition("/")
        return f"{SITE_PACKAGES}/{rest}" if scheme in {"purelib", "platlib"} and rest else None
    return f"{SITE_PACKAGES}/{name}"


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Content:
    def content() -> tuple[BinaryIO, int]:
        return _Member(archive, member), member.file_size  # type: ignore[return-value]  # read and close only

    return content


class _Member:
    """A member being read; damage found on the way (checksum, compression) is a `WheelRefusedError`."""

    def __init__(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
        self._name = str(archive.filename).rpartition("/")[2]
        try:
            self._stream = archive.open(member)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError) as error:
            raise self._damaged() from error

    def read(self, size: int = -1, /) -> bytes:
        try:
            return self._stream.read(size)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise self._damaged() from error

    def __enter__(self) -> "_Member":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def _damaged(self) -> WheelRefusedError:
        return WheelRefusedError("the wheel is damaged", where=self._name, fix="Delete it and build again.")


def _refused(wheel: Wheel, reason: str) -> WheelRefusedError:
    return WheelRefusedError(
        reason, where=wheel.filename, fix="Check where the Python dependencies were downloaded from."
    )
