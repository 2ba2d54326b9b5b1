"""What an image was made of, pinned: kept with the image, and enough to build it again; pure."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from cloud_hub.images.build.errors import RequirementsRefusedError
from cloud_hub.images.build.ports import Source, Wheel
from contract.encoding import canonical, decode
from contract.errors import ContractError
from contract.ids import DIGEST

FORMAT = 1


class LockedFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A wheel as it was published."""

    name: str
    version: str
    filename: str
    digest: str


class LockedSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The source archive that a wheel was built from, and the wheels that were there to build it."""

    filename: str
    digest: str
    requirements: tuple[LockedFile, ...] = ()


class LockedWheel(LockedFile, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A wheel of an image; ``source`` is of one that was built."""

    source: LockedSource | None = None


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
        sound = lock.format == FORMAT and all(map(_is_sound, _all(lock)))
    except (ContractError, InvalidWheelFilename, InvalidVersion) as error:
        raise _refused(str(error)) from error
    if not sound:
        raise _refused("another format, a name that is not its file's, or no digest")
    return lock


def _all(lock: Lock) -> Iterator[LockedFile | LockedSource | LockedDeb]:
    for wheel in (one for wheels in lock.wheels.values() for one in wheels):
        yield wheel
        if wheel.source is not None:
            yield wheel.source
            yield from wheel.source.requirements
    for debs in lock.debian.values():
        yield from debs


def _is_sound(one: LockedFile | LockedSource | LockedDeb) -> bool:
    if isinstance(one, LockedFile):
        name, version, _, _ = parse_wheel_filename(one.filename)
        if (name, version) != (one.name, Version(one.version)):
            return False
    return DIGEST.fullmatch(one.digest) is not None


def _refused(reason: str) -> RequirementsRefusedError:
    return RequirementsRefusedError(
        f"it is not a lock of an image: {reason}",
        where="lock",
        fix="Take one that `headland image lock` wrote.",
    )


def locked_wheels(wheels: tuple[Wheel, ...]) -> tuple[LockedWheel, ...]:
    """Return wheels as a lock names them, by name."""
    found = []
    for wheel in wheels:
        name, version, _, _ = parse_wheel_filename(wheel.filename)
        found.append(
            LockedWheel(
                name=name,
                version=str(version),
                filename=wheel.filename,
                digest=wheel.digest,
                source=_locked_source(wheel.source) if wheel.source is not None else None,
            )
        )
    return tuple(sorted(found, key=lambda one: one.filename))


def _locked_source(source: Source) -> LockedSource:
    requirements = tuple(
        LockedFile(name=one.name, version=one.version, filename=one.filename, digest=one.digest)
        for one in locked_wheels(source.requirements)
    )
    return LockedSource(filename=source.filename, digest=source.digest, requirements=requirements)


def pins(wheels: Sequence[LockedFile]) -> str:
    """Return locked wheels as lines of a requirements file."""
    return "".join(f"{one.name}=={one.version} --hash={one.digest}\n" for one in wheels)


def platforms_in(locks: Mapping[str, object]) -> str:
    """Return platforms for a message."""
    return ", ".join(sorted(locks)) or "none"
