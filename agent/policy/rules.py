"""The policy of a device, as its owner writes it: values and their rules."""

import ipaddress
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from contract.access import CAPABILITIES, DEVICE_ACCESS, is_plain

LOOPBACK: Final = ("127.0.0.0/8", "::1/128")
PortNumber = Annotated[int, Meta(ge=1, le=65_535)]


class HostPath(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file or folder of the device that modules may have, with all below it."""

    path: str
    read_only: bool = True

    def __post_init__(self) -> None:
        """Raise ValueError for a path that could mean another place."""
        if self.path != "/" and not is_plain(self.path):
            raise ValueError(f"host_paths: {self.path!r} is not absolute and plain")


class DeviceRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Device nodes, by a pattern in which ``*`` stands within one part of the path, and for what."""

    path: str
    access: str = "rw"

    def __post_init__(self) -> None:
        """Raise ValueError for what is no device."""
        if not is_plain(self.path) or not self.path.startswith("/dev/"):
            raise ValueError(f"devices: {self.path!r} is not below /dev")
        if not DEVICE_ACCESS.fullmatch(self.access):
            raise ValueError(f"devices: access of {self.path} is some of r, w and m, in this order")


class PortRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """TCP ports from ``first`` to ``last`` at addresses within ``addresses`` (address or network)."""

    addresses: tuple[str, ...] = LOOPBACK
    first: PortNumber = 1024
    last: PortNumber = 65_535

    def __post_init__(self) -> None:
        """Raise ValueError for what is no network."""
        for address in self.addresses:
            try:
                ipaddress.ip_network(address)
            except ValueError as error:
                raise ValueError(f"ports: {address!r} is not an address or network") from error

    def allows(self, address: str, port: int) -> bool:
        """Is this port one of them?"""
        place = ipaddress.ip_address(address)
        return self.first <= port <= self.last and any(
            place in ipaddress.ip_network(network) for network in self.addresses
        )


class Most(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one module's limits may be at most; 0: no bound."""

    memory_bytes: Annotated[int, Meta(ge=0)] = 0
    cpus: Annotated[float, Meta(ge=0)] = 0.0
    pids: Annotated[int, Meta(ge=0)] = 0


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What modules may have here. As it is without a file: nothing of the device but its loopback's ports."""

    named_volumes: bool = True
    host_paths: tuple[HostPath, ...] = ()
    devices: tuple[DeviceRule, ...] = ()
    ports: tuple[PortRule, ...] = (PortRule(),)
    host_network: bool = False
    capabilities: tuple[str, ...] = ()
    privileged: bool = False
    root: bool = True
    repositories: tuple[str, ...] = ("*",)
    limits: Most = Most()

    def __post_init__(self) -> None:
        """Raise ValueError for a capability that there is not."""
        unknown = sorted(set(self.capabilities) - {*CAPABILITIES})
        if unknown:
            raise ValueError(f"capabilities: there is no {unknown[0]!r} (names are without CAP_)")
