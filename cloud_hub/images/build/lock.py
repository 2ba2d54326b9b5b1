"""What an image was made of, pinned: kept with the image, and enough to build it again; pure."""

from collections.abc import Mapping

import msgspec
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from cloud_hub.images.build.errors import RequirementsRefusedError
from cloud_hub.images.build.ports import Wheel
from contract.encoding import canonical, decode
from contract.errors import ContractError
from contract.ids import DIGEST

FORMAT = 1


class LockedWheel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A wheel of an image."""

    name: str
    version: str
    filename: str
    digest: str


class LockedDeb(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Debian package of an image; ``filename`` is its place below the mirror."""

    name: str
    version: str
    architecture: str
    filename: str
    digest: str
    size_bytes: int


class Lock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Wheels by platform, Debian packages by architecture (among them those of the building machine)."""

    format: int = FORMAT
    base: str
    wheels: dict[str, tuple[LockedWheel, ...]]
    debian: dict[str, tuple[LockedDeb, ...]] = {}


def as_bytes(lock: Lock) -> bytes:
    """Return the document."""
    return canonical(lock)


def read_lock(data: bytes) -> Lock:
    """Read a document; raises `RequirementsRefusedError`."""
    try:
        lock = decode(data, Lock, what="lock")
        if lock.format != FORMAT:
            raise ContractError("made by another release", where="lock")
        for wheel in (wheel for wheels in lock.wheels.values() for wheel in wheels):
            if parse_wheel_filename(wheel.filename)[0] != wheel.name or not DIGEST.fullmatch(wheel.digest):
                raise ContractError("a wheel has another name than its file", where=wheel.filename)
        for deb in (deb for debs in lock.debian.values() for deb in debs):
            if not DIGEST.fullmatch(deb.digest):
                raise ContractError("a package has no digest", where=deb.name)
    except (ContractError, InvalidWheelFilename) as error:
        raise RequirementsRefusedError(
            f"it is not a lock of an image: {error}",
            where="lock",
            fix="Take one that `headland image lock` wrote.",
        ) from error
    return lock


def locked_wheels(wheels: tuple[Wheel, ...]) -> tuple[LockedWheel, ...]:
    """Return wheels as a lock names them, by name."""
    found = []
    for wheel in wheels:
        name, version, _, _ = parse_wheel_filename(wheel.filename)
        found.append(
            LockedWheel(name=name, version=str(version), filename=wheel.filename, digest=wheel.digest)
        )
    return tuple(sorted(found, key=lambda one: one.filename))


def pins(wheels: tuple[LockedWheel, ...]) -> str:
    """Return locked wheels as lines of a requirements file."""
    return "".join(f"{one.name}=={one.version} --hash={one.digest}\n" for one in wheels)


def platforms_in(locks: Mapping[str, object]) -> str:
    """Return platforms for a message."""
    return ", ".join(sorted(locks)) or "none"
