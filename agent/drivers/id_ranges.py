"""Which ids of the device those of a container with a user namespace are: one range for each container.

Nothing on disk depends on a range: folders of the device are shown to a container by its own ids
(`agent.drivers.mapped_mounts`). So a range is taken for one container's life, and any one will do.
"""

import contextlib
import threading
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.drivers.port import ContainerSpec

SIZE: Final = 0x10000
# Above those that systemd gives to its own containers, and below those of images that belong to nobody.
FIRST: Final = 0x7000_0000
RANGES: Final = 4094
FILE: Final = "ids"

_taking = threading.Lock()


@dataclass(frozen=True)
class IdRange:
    """The container's ids 0 to 65535 are the device's from ``first`` on."""

    first: int

    def mappings(self) -> list[dict[str, int]]:
        """Return the mapping as a runtime takes it, for users as for groups."""
        return [{"containerID": 0, "hostID": self.first, "size": SIZE}]


def needs_the_devices_ids(spec: ContainerSpec, user: tuple[int, int]) -> bool:
    """Return whether ``spec``, which runs as ``user``, is of no use in a user namespace.

    Devices belong to users of the device; capabilities and its network are the device's own.
    """
    grants = spec.grants
    given = grants.privileged or grants.host_network or grants.devices or grants.capabilities
    return bool(given) or max(user) >= SIZE


def take(bundle: Path, bundles: Iterable[Path], seed: str) -> IdRange:
    """Take a range for the container of ``bundle`` that none of ``bundles`` has, and note it there.

    Where the search begins follows from ``seed``: agents that do not know of each other seldom meet.
    """
    with _taking:
        used = {found.first for other in bundles if (found := taken(other)) is not None}
        begin = zlib.crc32(seed.encode())
        all_of_them = (FIRST + (begin + step) % RANGES * SIZE for step in range(RANGES))
        first = next((first for first in all_of_them if first not in used), FIRST)
        (bundle / FILE).write_text(f"{first}\n")
    return IdRange(first)


def taken(bundle: Path) -> IdRange | None:
    """Return the range of the container of ``bundle``; None where it has the device's own ids."""
    with contextlib.suppress(OSError, ValueError):
        return IdRange(int((bundle / FILE).read_text()))
    return None
