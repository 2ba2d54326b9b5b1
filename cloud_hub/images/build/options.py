"""What may be chosen of a build."""

import platform
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

from cloud_hub.images.build.errors import OptionRefusedError
from contract import oci

Compression = Literal["gzip", "zstd"]
GZIP: Final[Compression] = "gzip"
MEDIA_TYPES: Final[dict[Compression, str]] = {"gzip": oci.LAYER_GZIP, "zstd": oci.LAYER_ZSTD}
PLATFORMS: Final = ("linux/amd64", "linux/arm64")
HOST: Final = "host"
DEBIAN: Final = "debian"
FOREIGN: Final = ("oci:", "blob:")


@dataclass(frozen=True)
class BuildOptions:
    """How an image is built.

    ``base`` is ``host`` (the running Python), ``debian``, ``oci:REFERENCE`` or ``blob:DIGEST``; without
    ``platforms`` it is the hub's own. ``allow_source_builds``: a package without a wheel may be built from
    its source archive, in a sandbox.
    """

    base: str = HOST
    platforms: tuple[str, ...] = ()
    compression: Compression = GZIP
    allow_source_builds: bool = False


def own_platform() -> str:
    """Return the platform of this machine."""
    return f"linux/{oci.architecture_of(platform.machine())}"


def checked(options: BuildOptions) -> BuildOptions:
    """Return ``options`` with their platforms named and sorted; raises `OptionRefusedError`."""
    platforms = tuple(sorted(set(options.platforms))) or (own_platform(),)
    for one in platforms:
        if one not in PLATFORMS and one != own_platform():
            raise OptionRefusedError(
                "no image is built for this platform", where=one, fix=f"Choose of {', '.join(PLATFORMS)}."
            )
    if options.compression not in get_args(Compression):
        raise OptionRefusedError("not a compression", where="compression", fix="Choose gzip or zstd.")
    if options.base not in {HOST, DEBIAN} and not options.base.startswith(FOREIGN):
        raise OptionRefusedError(
            "no such base", where="base", fix="Choose host, debian, oci:REFERENCE or blob:sha256:..."
        )
    if options.base == HOST and platforms != (own_platform(),):
        raise OptionRefusedError(
            f"the base host is this machine's own Python, for {own_platform()} only",
            where=", ".join(platforms),
            fix="Choose --base debian for other platforms.",
        )
    return replace(options, platforms=platforms)
