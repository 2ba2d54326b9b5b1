"""Which packages of Debian are a runtime, and what apt's lists say of them; pure."""

from typing import Final

from cloud_hub.images.build.debian.apt import RELEASE
from cloud_hub.images.build.errors import DebianFetchError
from cloud_hub.images.build.lock import LockedDeb

PYTHON: Final = "3.11"
GLIBC: Final = "2.36"
"""What the release has; a release keeps both."""
INTERPRETER: Final = "python3.11-minimal"
RUNTIME: Final = (
    INTERPRETER,
    "gcc-12-base",  # the licence of libgcc-s1 and libstdc++6
    "libbz2-1.0",
    "libc6",
    "libcrypt1",
    "libexpat1",
    "libffi8",
    "libgcc-s1",
    "liblzma5",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libsqlite3-0",
    "libssl3",
    "libstdc++6",
    "libuuid1",
    "zlib1g",
)
"""Without what only terminals, Kerberos, dbm and dpkg need: those modules of Python are left out."""


def packages_in(stanzas: str) -> tuple[LockedDeb, ...]:
    """Return the packages that ``apt-cache show`` told of, by name; raises if one of `RUNTIME` is missing."""
    found = dict[str, LockedDeb]()
    for stanza in stanzas.split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in stanza.splitlines() if ": " in line and not line[0].isspace()
        )
        try:
            deb = LockedDeb(
                name=fields["Package"],
                version=fields["Version"],
                architecture=fields["Architecture"],
                filename=fields["Filename"],
                digest=f"sha256:{fields['SHA256']}",
                size_bytes=int(fields["Size"]),
            )
        except (KeyError, ValueError):
            continue  # it is missed below
        found.setdefault(deb.name, deb)
    if missing := [name for name in RUNTIME if name not in found]:
        raise DebianFetchError(
            f"the lists do not have {', '.join(missing)}",
            where=f"base debian, {RELEASE}",
            fix="Is the mirror whole? See debian_mirror in the hub's settings.",
        )
    return tuple(found[name] for name in sorted(RUNTIME))


def version_of(name: str, debs: tuple[LockedDeb, ...]) -> str:
    """Return the version of a package among others."""
    return next(deb.version for deb in debs if deb.name == name)
