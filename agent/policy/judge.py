"""The rule by which the owner's policy allows a module, or not. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from agent.policy.rules import Policy
from contract.access import Device, Port, Volume, within
from contract.desired import Desired, Module

MOST_REASONS = 5


@dataclass(frozen=True)
class Denial:
    """What a module asks for and does not get: a stable code, and words."""

    code: str
    reason: str


def judge(module: Module, policy: Policy) -> tuple[Denial, ...]:
    """Return all that ``module`` asks for and ``policy`` does not allow."""
    return tuple(_denials(module, policy))


def judge_all(desired: Desired, policy: Policy) -> Denial | None:
    """Return why a document is not acceptable here: the first denial's code, and the words of some."""
    denials = [
        Denial(denial.code, f"module {module.name}: {denial.reason}")
        for module in desired.modules
        for denial in judge(module, policy)
    ]
    if not denials:
        return None
    words = [denial.reason for denial in denials[:MOST_REASONS]]
    if len(denials) > MOST_REASONS:
        words.append(f"and {len(denials) - MOST_REASONS} more")
    return Denial(denials[0].code, f"this device's policy does not allow it: {'; '.join(words)}")


def judge_user(uid: int, policy: Policy) -> Denial | None:
    """May the image's user be that one? It is known once the image is there."""
    if uid == 0 and not policy.root:
        return Denial("policy-root", "its image runs as root")
    return None


def _denials(module: Module, policy: Policy) -> Iterator[Denial]:
    asks, limits, most = module.asks, module.limits, policy.limits
    if asks.privileged and not policy.privileged:
        yield Denial("policy-privileged", "it asks to be privileged")
    if asks.host_network and not policy.host_network:
        yield Denial("policy-host-network", "it asks for the device's network")
    for name in asks.capabilities:
        if name not in policy.capabilities:
            yield Denial("policy-capability", f"it asks for the capability {name}")
    for volume in asks.volumes:
        yield from _of_volume(volume, policy)
    for device in asks.devices:
        if not any(_covers(rule.path, rule.access, device) for rule in policy.devices):
            yield Denial("policy-device", f"it asks for {device.path} ({device.access})")
    yield from _of_ports(asks.ports, policy)
    for what, asked, bound in (
        ("bytes of memory", limits.memory_bytes, most.memory_bytes),
        ("CPUs", limits.cpus, most.cpus),
        ("processes", limits.pids, most.pids),
    ):
        if bound and asked > bound:
            yield Denial("policy-limit", f"it asks for {asked:g} {what}, and {bound:g} is the most")
    if not any(fnmatchcase(module.image.repository, pattern) for pattern in policy.repositories):
        yield Denial("policy-image", f"its image is of {module.image.repository}")


def _of_volume(volume: Volume, policy: Policy) -> Iterator[Denial]:
    if volume.name:
        if not policy.named_volumes:
            yield Denial("policy-volume", f"it asks for the volume {volume.name}")
        return
    rules = [rule for rule in policy.host_paths if within(volume.path, (rule.path,))]
    if not rules:
        yield Denial("policy-host-path", f"it asks for the host's {volume.path}")
    elif not volume.read_only and all(rule.read_only for rule in rules):
        yield Denial("policy-host-path", f"it asks to write to the host's {volume.path}")


def _of_ports(ports: Iterable[Port], policy: Policy) -> Iterator[Denial]:
    for port in ports:
        if not any(rule.allows(port.address, port.port) for rule in policy.ports):
            yield Denial("policy-port", f"it asks for port {port.port} at {port.address}")


def _covers(pattern: str, access: str, device: Device) -> bool:
    """Does a rule allow a device? A ``*`` of its pattern never reaches into another folder."""
    parts, wanted = pattern.split("/"), device.path.split("/")
    return (
        len(parts) == len(wanted)
        and all(fnmatchcase(part, rule) for part, rule in zip(wanted, parts, strict=True))
        and set(device.access) <= set(access)
    )
