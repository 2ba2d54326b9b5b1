"""What comes out of a sandbox as a wheel: checked, and written anew so that equal files give equal bytes."""

import re
import zipfile
import zlib
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Final

from packaging.tags import Tag, sys_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from cloud_hub.images.build.errors import SourceBuildRefusedError
from cloud_hub.images.build.ports import Wheel
from cloud_hub.images.build.target import Target
from cloud_hub.images.build.wheel_files import look_through

METADATA_LIMIT_BYTES: Final = 1 << 20
EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.+!-]+\.whl")
_UNREADABLE: Final = (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Name:
    """A package's normalised name and its version."""

    name: str
    version: Version

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def take_built(raw: Path, filename: str, of: Name, target: Path) -> None:
    """Check the wheel ``raw`` and write it to ``target``: members sorted, without times, uncompressed.

    Not compressed: the bytes shall not depend on a zlib. Raises `SourceBuildRefusedError` if it is not
    the wheel of that package, and `WheelRefusedError` as for any wheel.
    """
    if not _PLAIN.fullmatch(filename) or _named(filename) != of:
        raise _refused(of, f"its build made another wheel: {_shown(filename)}")
    look_through(Wheel(filename, raw, ""))
    try:
        with zipfile.ZipFile(raw) as archive:
            _check_metadata(archive, of)
            _write(archive, target)
    except _UNREADABLE as error:
        raise _refused(of, "the wheel that its build made is damaged") from error


def require_fit(filename: str, of: Name, target: Target) -> None:
    """Raise `SourceBuildRefusedError` if a wheel that was built here does not run on a target."""
    tags = parse_wheel_filename(filename)[3]
    if all(tag.abi == "none" and tag.platform == "any" for tag in tags):
        return
    if not target.native:
        raise SourceBuildRefusedError(
            f"its build compiles for the Python of this hub ({_shown_tags(tags)})",
            where=f"{of} for {target.platform}, Python {target.python_version}",
            fix="Build with the base host, on a hub of that platform, or have a wheel of it in the index.",
        )
    if tags.isdisjoint(sys_tags()):
        raise _refused(of, f"its build made a wheel that does not run here ({_shown_tags(tags)})")


def _named(filename: str) -> Name | None:
    try:
        name, version, _, _ = parse_wheel_filename(filename)
    except (InvalidWheelFilename, InvalidVersion):
        return None
    return Name(name, version)


def _check_metadata(archive: zipfile.ZipFile, of: Name) -> None:
    found = [one for one in archive.infolist() if one.filename.endswith(".dist-info/METADATA")]
    if len(found) != 1 or found[0].file_size > METADATA_LIMIT_BYTES:
        raise _refused(of, "the wheel that its build made has no metadata, or too much")
    told = BytesHeaderParser().parsebytes(archive.read(found[0]))
    name, version = str(told.get("Name", "")), str(told.get("Version", ""))
    if canonicalize_name(name) != of.name or Version(version) != of.version:
        raise _refused(of, "the wheel that its build made is of another package, as its metadata says")


def _write(archive: zipfile.ZipFile, target: Path) -> None:
    members = [one for one in archive.infolist() if not one.is_dir()]
    if len({one.filename for one in members}) != len(members):
        raise ValueError("two members have the same name")
    with zipfile.ZipFile(target, "w") as fresh:
        # The format asks for the metadata to stand at the end, and its list of files last.
        for one in sorted(members, key=lambda one: _place(one.filename)):
            info = zipfile.ZipInfo(one.filename, EPOCH)
            info.create_system, info.file_size = 3, one.file_size
            info.external_attr = (0o100755 if one.external_attr >> 16 & 0o100 else 0o100644) << 16
            with archive.open(one) as source, fresh.open(info, "w") as copy:
                while chunk := source.read(1 << 20):
                    copy.write(chunk)


def _place(name: str) -> tuple[bool, bool, str]:
    return ".dist-info/" in name, name.endswith(".dist-info/RECORD"), name


def _refused(of: Name, what: str) -> SourceBuildRefusedError:
    return SourceBuildRefusedError(what, where=str(of), fix="Have a wheel of it in the index.")


def _shown(filename: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in filename)[:100]


def _shown_tags(tags: frozenset[Tag]) -> str:
    return ", ".join(sorted(map(str, tags)))[:200]
