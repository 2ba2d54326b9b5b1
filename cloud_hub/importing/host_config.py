"""What a container asks of its device, Docker's ``HostConfig``, as a module's limits and access. Pure."""

from collections.abc import Callable

from cloud_hub.importing.draft import ModuleDraft
from cloud_hub.importing.mounts import carry_bind, carry_mount
from cloud_hub.importing.spots import Spot
from contract.access import CAPABILITIES, is_address

CPU_PERIOD_US = 100_000
ALL = "0.0.0.0"  # noqa: S104  what Docker binds where nothing is said
OWNER = "have the device's owner allow it, see docs/device-policy.md"


def carry_host_config(host: Spot, draft: ModuleDraft, taken: set[tuple[str, int]]) -> None:
    """Carry what has a counterpart; ``taken`` are the ports of the device that modules have asked for."""
    for key, spot in host.items():
        if spot.value is None or spot.value in ("", [], {}):
            draft.ledger.carry(spot)
        elif key in _READERS:
            _READERS[key](spot, draft)
    _cpus(host, draft)
    bindings = host.get("PortBindings")
    for key, spot in bindings.items() if bindings is not None else ():
        for binding in spot.parts():
            _port(key, binding, draft, taken)


def _memory(spot: Spot, draft: ModuleDraft) -> None:
    if spot.number is not None and spot.number <= 0:
        why = "a module always has a limit, 256 MiB where nothing is said"
        draft.ledger.leave(spot, "Memory", why, "set `limits.memory` by what it needs")
    else:
        draft.put(spot, spot.value, "limits", "memory")


def _pids(spot: Spot, draft: ModuleDraft) -> None:
    if spot.number is not None and spot.number <= 0:
        why = "a module always has a limit, 64 where nothing is said"
        draft.ledger.leave(spot, "PidsLimit", why, "set `limits.pids` by what it needs")
    else:
        draft.put(spot, spot.value, "limits", "pids")


def _cpus(host: Spot, draft: ModuleDraft) -> None:
    nano, quota, period = host.get("NanoCpus"), host.get("CpuQuota"), host.get("CpuPeriod")
    for spot in (nano, quota):
        if spot is not None and spot.number is not None and spot.number <= 0:
            why = "a module always has a limit, one CPU where nothing is said"
            draft.ledger.leave(spot, str(spot.path[-1]), why, "set `limits.cpus` by what it needs")
    if nano is not None and nano.number is not None and nano.number > 0:
        draft.put(nano, nano.number / 1e9, "limits", "cpus")
        for spot in (quota, period):
            draft.ledger.leave(spot, "CPUs", "NanoCpus says so already", "keep one of them")
    elif quota is not None and quota.number is not None and quota.number > 0:
        length = period.number if period is not None else None
        if draft.put(quota, quota.number / (length or CPU_PERIOD_US), "limits", "cpus"):
            draft.ledger.carry(period)


def _port(key: str, binding: Spot, draft: ModuleDraft, taken: set[tuple[str, int]]) -> None:
    """Carry one binding of ``key``, such as ``80/tcp``."""
    inside, _, protocol = key.partition("/")
    address_at, port_at = binding.get("HostIp"), binding.get("HostPort")
    address = (address_at.text if address_at is not None else None) or ALL
    said = str(port_at.value) if port_at is not None else ""
    why = ""
    if protocol not in {"", "tcp"}:
        why = "only TCP ports are handed to modules"
    elif draft.spec.get("access", {}).get("hostNetwork"):
        why = "with the device's network the module binds its ports itself"
    elif not (said.isascii() and said.isdigit() and 0 < len(said) < 6):
        why = "it is not one port of the device"
    elif not is_address(address):
        why = "its address is none"
    elif (address, int(said)) in taken:
        why = "this port of the device is asked for already"
    if why:
        draft.ledger.leave(
            binding, "a port", why, "ask for a port in `access.ports`, or for `access.hostNetwork`"
        )
        return
    port = {"name": f"tcp-{inside}-{said}", "port": int(said), "address": address}
    if draft.add(binding, port, "access", "ports"):
        taken.add((address, int(said)))
        _only(draft, binding, address_at, port_at)
        draft.ledger.change(
            binding,
            "a port",
            "the agent binds it and hands the socket over (LISTEN_FDS); no network leads to the container",
            "let the program take the socket; else give it `access.hostNetwork: true` in place of the port",
        )


def _device(spot: Spot, draft: ModuleDraft) -> None:
    for one in spot.parts():
        host, inside, access = one.get("PathOnHost"), one.get("PathInContainer"), one.get("CgroupPermissions")
        path = host.value if host is not None else None
        if inside is not None and inside.value not in (path, ""):
            why = "a device has one path, on the device and in the container"
            draft.ledger.leave(one, "a device", why, "let the program open it under the path of the device")
            continue
        words = str(access.value if access is not None else "rwm") or "rwm"
        sorted_words = "".join(letter for letter in "rwm" if letter in words)
        told = sorted_words if set(words) <= set("rwm") else words
        # Noted at its leaves: what else stands there is for the ledger to find.
        if draft.add(one, {"path": path, "access": told}, "access", "devices"):
            _only(draft, one, host, inside, access)


def _only(draft: ModuleDraft, whole: Spot, *carried: Spot | None) -> None:
    """Note the parts of a value that was carried; its other keys are listed."""
    known = {spot.path for spot in carried if spot is not None}
    for leaf in whole.leaves():
        if leaf.path not in known:
            draft.ledger.leave(leaf, str(leaf.path[-1]), "a rollout has no such setting")


def _capabilities(spot: Spot, draft: ModuleDraft) -> None:
    for one in spot.parts():
        name = str(one.value).upper().removeprefix("CAP_")
        if name not in CAPABILITIES:
            fix = "name those that it needs, or say `access.privileged: true`"
            draft.ledger.leave(one, "a capability", "it is no capability's name", fix)
        elif name in draft.spec.get("access", {}).get("capabilities", []):
            draft.ledger.carry(one)
        else:
            draft.add(one, name, "access", "capabilities")


def _dropped(spot: Spot, draft: ModuleDraft) -> None:
    for one in spot.leaves():
        why = "a module has no capability but those that it asks for"
        draft.ledger.change(one, "CapDrop", why, "nothing")


def _privileged(spot: Spot, draft: ModuleDraft) -> None:
    if spot.value is True:
        if draft.put(spot, True, "access", "privileged"):
            draft.ledger.change(spot, "Privileged", "limits and the read-only root stay", OWNER)
    elif spot.value is False:
        draft.ledger.carry(spot)


def _network(spot: Spot, draft: ModuleDraft) -> None:
    if spot.value == "host":
        draft.put(spot, True, "access", "hostNetwork")
    elif spot.value == "none":
        draft.ledger.carry(spot)
    else:
        why = "a module has the device's network or none; modules have no network among themselves"
        fix = "give it `access.hostNetwork: true`, or `access.ports`, whichever it needs"
        draft.ledger.leave(spot, "NetworkMode", why, fix)


def _read_only(spot: Spot, draft: ModuleDraft) -> None:
    if spot.value is True:
        draft.ledger.carry(spot)
    else:
        fix = "let it write to /tmp, or to a volume"
        draft.ledger.leave(spot, "ReadonlyRootfs", "the root of a module is always read-only", fix)


def _each(reader: Callable[[Spot, ModuleDraft], None]) -> Callable[[Spot, ModuleDraft], None]:
    def every(spot: Spot, draft: ModuleDraft) -> None:
        for one in spot.parts():
            reader(one, draft)

    return every


_READERS: dict[str, Callable[[Spot, ModuleDraft], None]] = {
    "Binds": _each(carry_bind),
    "Mounts": _each(carry_mount),
    "Memory": _memory,
    "PidsLimit": _pids,
    "Devices": _device,
    "CapAdd": _capabilities,
    "CapDrop": _dropped,
    "Privileged": _privileged,
    "NetworkMode": _network,
    "ReadonlyRootfs": _read_only,
}
