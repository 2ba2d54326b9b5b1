"""What a module asks of its devices, as a manifest says it: `contract.access` with its rules."""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from cloud_hub.rollouts.fields import Name, Strict, matches
from contract.access import (
    CAPABILITIES,
    DEVICE_ACCESS,
    Access,
    Device,
    Port,
    Volume,
    faults,
    is_address,
    is_plain,
)


def _plain(value: str) -> str:
    if not is_plain(value) or "\0" in value:
        raise ValueError("must be an absolute path without '.' and '..', and not '/'")
    return value


def _address(value: str) -> str:
    if not is_address(value):
        raise ValueError("must be an IP address, such as 127.0.0.1, or 0.0.0.0 for all")
    return value


def _capability(value: str) -> str:
    if value not in CAPABILITIES:
        raise ValueError("must be the name of a capability without CAP_, such as NET_ADMIN")
    return value


PlainPath = Annotated[str, Field(max_length=4096), AfterValidator(_plain)]
DevicePath = Annotated[str, matches(re.compile(r"/dev/[^\0]{1,250}"), "a path below /dev")]
DeviceAccess = Annotated[str, matches(DEVICE_ACCESS, "some of r, w and m, in this order")]


class VolumeSpec(Strict):
    """Files that outlive the container."""

    target: PlainPath
    name: Name | None = None
    host_path: PlainPath | None = None
    read_only: bool = False
    keep: bool = True

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.name is None) == (self.host_path is None):
            raise ValueError("needs one of name and hostPath")
        return self

    def volume(self) -> Volume:
        """Return what the device is told."""
        return Volume(
            target=self.target,
            name=self.name or "",
            path=self.host_path or "",
            read_only=self.read_only,
            keep=self.keep,
        )


class PortSpec(Strict):
    """A TCP port of the device that leads to the module."""

    name: Name
    port: Annotated[int, Field(ge=1, le=65535)]
    address: Annotated[str, AfterValidator(_address)] = "127.0.0.1"

    def told(self) -> Port:
        """Return what the device is told."""
        return Port(name=self.name, port=self.port, address=self.address)


class DeviceSpec(Strict):
    """A device node."""

    path: DevicePath
    access: DeviceAccess = "rw"


class AccessSpec(Strict):
    """All that a module asks of a device beyond its socket."""

    volumes: Annotated[list[VolumeSpec], Field(max_length=32)] = []  # noqa: RUF012  pydantic copies it
    ports: Annotated[list[PortSpec], Field(max_length=31)] = []  # noqa: RUF012
    devices: Annotated[list[DeviceSpec], Field(max_length=64)] = []  # noqa: RUF012
    capabilities: Annotated[list[Annotated[str, AfterValidator(_capability)]], Field(max_length=41)] = []  # noqa: RUF012
    host_network: bool = False
    privileged: bool = False

    @model_validator(mode="after")
    def _possible(self) -> Self:
        found = next(faults(self.told()), None)
        if found is not None:
            raise ValueError(found)
        return self

    def told(self) -> Access:
        """Return what the device is told."""
        return Access(
            volumes=tuple(one.volume() for one in self.volumes),
            ports=tuple(one.told() for one in self.ports),
            devices=tuple(Device(path=one.path, access=one.access) for one in self.devices),
            capabilities=tuple(self.capabilities),
            host_network=self.host_network,
            privileged=self.privileged,
        )


def port_given_twice(asked: dict[str, AccessSpec]) -> str:
    """Return which two modules ask for one port of a device, or an empty text."""
    owners: dict[tuple[str, int], str] = {}
    for name, access in asked.items():
        for port in access.ports:
            place = (port.address, port.port)
            if owners.setdefault(place, name) != name:
                return f"modules {owners[place]} and {name} both ask for port {port.port} at {port.address}"
    return ""
