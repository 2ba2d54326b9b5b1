"""What a container is given beyond its own walls."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class DeviceNode:
    """A device of the machine, seen at ``path`` in the container; ``access`` is some of r, w and m."""

    path: str
    kind: Literal["c", "b"]
    major: int
    minor: int
    access: str


@dataclass(frozen=True)
class Grants:
    """Nothing, unless it is said. ``capabilities`` are without ``CAP_``, ``privileged`` has no wall."""

    devices: tuple[DeviceNode, ...] = ()
    capabilities: tuple[str, ...] = ()
    host_network: bool = False
    privileged: bool = False


NOTHING = Grants()
