"""Gives a container what its module asks for and the owner allows: mounts, devices, rights."""

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.drivers.bundle import DEFAULT_USER, user_ids
from agent.drivers.grants import NOTHING, DeviceNode, Grants
from agent.drivers.port import USER, Mount
from agent.errors import AgentError
from agent.policy.file import PolicyFile
from agent.policy.host_paths import HostPathError, open_beneath
from agent.policy.judge import judge, judge_user
from agent.volumes import Volumes
from contract.access import Device, Volume, faults, within
from contract.desired import Module

NETWORK_FILES: Final = ("/etc/resolv.conf", "/etc/hosts")


class ForbiddenError(AgentError):
    """The owner's policy does not allow what is to be started."""

    code = "policy-forbids"
    retriable = True


class DeviceMissingError(AgentError):
    """A device that a module asks for is not there."""

    code = "device-missing"
    retriable = True


@dataclass(frozen=True)
class Granted:
    """What a container gets beyond its own."""

    mounts: tuple[Mount, ...] = ()
    grants: Grants = NOTHING


class Granting:
    """Gives what the policy allows; asks it anew for each container."""

    def __init__(self, state_dir: Path, policy: PolicyFile) -> None:
        self._state_dir, self.policy = state_dir, policy
        self.volumes = Volumes(state_dir / "volumes")

    @contextlib.contextmanager
    def granted(self, module: Module, user: str) -> Iterator[Granted]:
        """Yield what a container of ``module`` gets, whose image's user is ``user``.

        What it names stays open until the container has started. Raises `ForbiddenError`, `HostPathError`,
        `DeviceMissingError` and `OSError`.
        """
        # What is no user the driver refuses.
        asks, owner = module.asks, user_ids(user) if USER.fullmatch(user) else DEFAULT_USER
        self._check(module, owner[0])
        with contextlib.ExitStack() as stack:
            mounts = [self._mount(stack, module.name, volume, owner) for volume in asks.volumes]
            if asks.host_network:
                targets = {volume.target for volume in asks.volumes}
                mounts += [
                    Mount(Path(name), name, read_only=True)
                    for name in NETWORK_FILES
                    if name not in targets and Path(name).is_file()
                ]
            yield Granted(
                tuple(sorted(mounts, key=lambda mount: mount.target)),
                Grants(
                    devices=tuple(_node(device) for device in asks.devices),
                    capabilities=asks.capabilities,
                    host_network=asks.host_network,
                    privileged=asks.privileged,
                ),
            )

    def _check(self, module: Module, uid: int) -> None:
        policy = self.policy.current()
        denials = [*judge(module, policy), *filter(None, [judge_user(uid, policy)])]
        broken = next(faults(module.asks), None)
        if denials or broken:
            raise ForbiddenError(
                denials[0].reason if denials else str(broken),
                where=f"module {module.name}",
                fix=f"The device's owner can allow it in its policy [{denials[0].code}]." if denials else "",
            )

    def _mount(
        self, stack: contextlib.ExitStack, module: str, volume: Volume, owner: tuple[int, int]
    ) -> Mount:
        if volume.name:
            return Mount(self.volumes.open(module, volume, owner), volume.target, volume.read_only)
        place = self._open(volume)
        stack.callback(os.close, place)
        return Mount(Path(volume.path), volume.target, volume.read_only, descriptor=place)

    def _open(self, volume: Volume) -> int:
        """Open a path of the host below the deepest of the owner's that allow it."""
        rules = [
            rule.path
            for rule in self.policy.current().host_paths
            if within(volume.path, (rule.path,)) and (volume.read_only or not rule.read_only)
        ]
        if not rules:
            raise HostPathError("the policy has changed", where=volume.path)
        return open_beneath(max(rules, key=len), volume.path, never=self._state_dir)


def strictest() -> Granting:
    """Return what gives nothing, where no owner and no folder are known."""
    return Granting(Path("/nonexistent"), PolicyFile(None))


def _node(device: Device) -> DeviceNode:
    try:
        found = Path(device.path).stat()
    except OSError as error:
        raise DeviceMissingError(
            f"is not there ({error.strerror})", where=device.path, fix="Plug it in; it is tried again."
        ) from error
    if not (stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode)):
        raise DeviceMissingError("is not a device", where=device.path, fix="Correct the manifest.")
    return DeviceNode(
        path=device.path,
        kind="c" if stat.S_ISCHR(found.st_mode) else "b",
        major=os.major(found.st_rdev),
        minor=os.minor(found.st_rdev),
        access=device.access,
    )
