"""What a module asks of its device beyond its socket. Each change of it needs another container.

A device's owner decides whether it gets that; here is only what can be asked for at all.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from contract.ids import NAME

DEVICE_ACCESS: Final = re.compile(r"(?=.)r?w?m?")
RESERVED: Final = ("/run/headland", "/run/secrets", "/proc", "/sys", "/dev")
NO_DEVICES: Final = ("/dev/shm", "/dev/mqueue", "/dev/pts", "/dev/fd")  # noqa: S108  never given
MOST: Final = {"volumes": 32, "ports": 31, "devices": 64, "capabilities": 41}
_NAMES = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT
SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP
MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
CAPABILITIES: Final = tuple(_NAMES.split())  # each at its number


class Volume(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Files seen at ``target``: those of volume ``name``, which the agent keeps across updates, or of the
    host's ``path``. A volume that is not to ``keep`` goes with the module.
    """

    target: str
    name: str = ""
    path: str = ""
    read_only: bool = False
    keep: bool = True


class Port(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A TCP port of the device; the module gets the listening socket, by ``name``."""

    name: str
    port: int
    address: str = "127.0.0.1"

    @property
    def place(self) -> tuple[str, int]:
        """Where it is bound."""
        return self.address, self.port


class Device(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A device node, of the same path in the container: to read, to write, to make (m)."""

    path: str
    access: str = "rw"


class Access(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that a module asks for. ``capabilities`` are without ``CAP_``; ``privileged`` is all there is."""

    volumes: tuple[Volume, ...] = ()
    ports: tuple[Port, ...] = ()
    devices: tuple[Device, ...] = ()
    capabilities: tuple[str, ...] = ()
    host_network: bool = False
    privileged: bool = False


def faults(access: Access) -> Iterator[str]:
    """Yield what cannot be asked for; both ends judge by this."""
    for kind, most in MOST.items():
        if len(getattr(access, kind)) > most:
            yield f"more than {most} {kind}"
    yield from _twice("the target", (volume.target for volume in access.volumes))
    yield from _twice("the port", (port.place for port in access.ports))
    yield from _twice("the name", (port.name for port in access.ports))
    yield from _twice("the device", (device.path for device in access.devices))
    for volume in access.volumes:
        yield from _of_volume(volume)
    for port in access.ports:
        if not NAME.fullmatch(port.name) or port.name == "socket":
            yield f"a port may not be called {port.name!r}"
        if not 0 < port.port < 65536 or not is_address(port.address):
            yield f"port {port.name}: needs 1 to 65535 and an IP address"
    for device in access.devices:
        inside = is_plain(device.path) and device.path.startswith("/dev/")
        if not inside or within(device.path, NO_DEVICES):
            yield f"{device.path} is no device's path"
        if not DEVICE_ACCESS.fullmatch(device.access):
            yield f"{device.path}: access is some of r, w and m, in this order"
    yield from (f"there is no capability {name}" for name in access.capabilities if name not in CAPABILITIES)


def is_plain(path: str) -> bool:
    """Is it absolute, not ``/`` itself, and written without ``.``, ``..`` and doubled slashes?"""
    return path.startswith("/") and not {"", ".", ".."} & set(path[1:].split("/"))


def within(path: str, folders: Iterable[str]) -> bool:
    """Is a plain path one of some folders, or below one?"""
    return any(f"{path}/".startswith(f"{folder.rstrip('/')}/") for folder in folders)


def is_address(text: str) -> bool:
    """Is it an IP address?"""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _of_volume(volume: Volume) -> Iterator[str]:
    if not is_plain(volume.target) or within(volume.target, RESERVED) or "\0" in volume.target:
        yield f"{volume.target!r} cannot be the target of a volume"
    if bool(volume.name) == bool(volume.path):
        yield f"{volume.target}: needs one of name and path"
    elif volume.name and not NAME.fullmatch(volume.name):
        yield f"{volume.target}: its name breaks the rule for names"
    elif volume.path and (not is_plain(volume.path) or "\0" in volume.path):
        yield f"{volume.target}: its path is not absolute and plain"
    if volume.path and not volume.keep:
        yield f"{volume.target}: what is the host's is always kept"


def _twice(what: str, values: Iterable[object]) -> Iterator[str]:
    seen: set[object] = set()
    for value in values:
        if value in seen:
            yield f"{what} {value} stands twice"
        seen.add(value)
