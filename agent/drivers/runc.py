"""The driver `RuncDriver`: containers by runc, with no daemon. Needs root.

A container's root is an overlay of its layers, read-only; it has no capabilities, no new
privileges, our own seccomp list, namespaces of its own (the network one is empty), a private
/tmp in memory that counts towards its memory limit, and limits on memory, CPU and processes.
A small process beside each container holds its exit code, also while no agent lives.
"""

import hashlib
import logging
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec

from agent.drivers.bundle import BUNDLE, other_process, runtime_config, user_ids
from agent.drivers.cgroups import group_below, is_unified, killed_in, processes_in, swap_accounted
from agent.drivers.executing import execute
from agent.drivers.giving_way import GivingWay
from agent.drivers.grants import Grants
from agent.drivers.held import exit_code, let_go
from agent.drivers.id_ranges import needs_the_devices_ids, take
from agent.drivers.laying import Laid, laid, laid_mapped
from agent.drivers.mapped_mounts import UnmappableError
from agent.drivers.overlay import unmount_and_delete
from agent.drivers.port import (
    ContainerRunningError,
    ContainerSpec,
    ContainerStatus,
    Driver,
    DriverError,
    DriverUnavailableError,
    Executed,
    stopped,
)
from agent.drivers.register import Register
from agent.drivers.roots import Roots
from agent.drivers.runc_command import RUNC_ENVIRONMENT, ListedContainer, last_reason
from agent.drivers.runc_state import RuncByState
from agent.drivers.seccomp import SECCOMP_ARCHITECTURES, seccomp_profile
from agent.drivers.staging import unmount_staged
from agent.drivers.undoing import undone
from contract.access import CAPABILITIES
from contract.encoding import canonical
from contract.oci import architecture_of

log = logging.getLogger(__name__)

UserNamespaces = Literal["off", "auto", "required"]
STATUS = Path("/proc/self/status")


class RuncDriver(Driver):
    """Containers below ``state_dir/runc``; several agents on one device keep apart by that folder.

    Every call of runc may take ``timeout_s`` seconds. With ``user_namespaces`` each container has one, unless
    it was given something of the device that is of no use in one; ``auto`` also does without where the kernel
    cannot map what a container gets. Raises `DriverUnavailableError` without runc.
    """

    name: ClassVar[str] = "runc"
    other_users: ClassVar[bool] = True

    def __init__(
        self, state_dir: Path, *, user_namespaces: UserNamespaces = "off", timeout_s: float = 30.0
    ) -> None:
        program = shutil.which("runc")
        if program is None:
            raise DriverUnavailableError("runc is not on the PATH", where="driver", fix="Install runc.")
        self._state = state_dir.absolute()
        self._register = Register(self._state / "runc-homes")
        self._runc = RuncByState(program, self._state / "runc", timeout_s=timeout_s)
        self._scope = hashlib.sha256(os.fsencode(self._state.resolve())).hexdigest()[:12]
        self._user_namespaces = user_namespaces
        self._roots = Roots(self._scope)
        self._giving_way = GivingWay()
        self._roots.keep(lambda container_id: self._register.home(container_id) is not None)

    def _start(self, spec: ContainerSpec, listeners: Mapping[str, int]) -> None:
        if self._register.home(spec.id) is not None:
            raise ContainerRunningError(
                "it exists already", where=f"container {spec.id}", fix="Remove it, or use another id."
            )
        self._register.add(spec.id, spec.home)
        with undone(lambda: self._clear(spec.id, spec.home, listed=None), f"container {spec.id}"):
            if self._user_namespaces == "off" or needs_the_devices_ids(spec, user_ids(spec.user)):
                self._run(spec, listeners)
            else:
                self._run_mapped_or_not(spec, listeners)

    def _run_mapped_or_not(self, spec: ContainerSpec, listeners: Mapping[str, int]) -> None:
        try:
            self._run_mapped(spec, listeners)
        except UnmappableError as error:
            if self._user_namespaces == "required":
                where, fix = f"container {spec.id}", "See what user namespaces need, in docs/devices.md."
                raise DriverError(str(error), where=where, fix=fix) from error
            log.warning("container %s has no user namespace: %s", spec.id, error)
            self._clear_home(spec.id, spec.home)
            self._run(spec, listeners)

    def _run(self, spec: ContainerSpec, listeners: Mapping[str, int]) -> None:
        """Start a container with the device's own ids."""
        bundle = _new_bundle(spec)
        with laid(bundle, replace(spec, grants=_held(spec.grants))) as ready:
            self._run_laid(bundle, ready, listeners)

    def _run_mapped(self, spec: ContainerSpec, listeners: Mapping[str, int]) -> None:
        """Start a container in a user namespace of its own; raises `UnmappableError` before it has begun."""
        bundle = _new_bundle(spec)
        others = [home / BUNDLE for home in self._register.homes().values()]
        ids = take(bundle, others, f"{self._scope}-{spec.id}")
        with laid_mapped(bundle, spec, self._roots.make(spec.id, ids), ids) as ready:
            self._run_laid(bundle, ready, listeners)

    def _run_laid(self, bundle: Path, ready: Laid, listeners: Mapping[str, int]) -> None:
        spec, machine = ready.spec, architecture_of(os.uname().machine)
        if machine not in SECCOMP_ARCHITECTURES:
            raise DriverUnavailableError(
                f"no list of system calls for {machine}", where="driver", fix="Use the process driver."
            )
        config = runtime_config(
            spec,
            listeners=listeners,
            cgroups_path=self._group(spec.id),
            swap_accounted=swap_accounted(),
            unified=is_unified(),
            seccomp=seccomp_profile(machine, spec.grants.capabilities),
            root=ready.root,
            ids=ready.ids,
        )
        (bundle / "config.json").write_bytes(canonical(config))
        self._runc.run(spec.id, bundle, log=spec.log, listeners=listeners.values())

    def _observe(self) -> tuple[ContainerStatus, ...]:
        listed = self._runc.list()
        ids = listed.keys() | self._register.homes().keys()
        return tuple(self._status(container_id, listed.get(container_id)) for container_id in ids)

    def _status(self, container_id: str, listed: ListedContainer | None) -> ContainerStatus:
        # Of one that has ended too: runc leaves the group until it deletes the container.
        starved = killed_in(self._group(container_id)) > 0
        if listed is not None and listed.running:
            return ContainerStatus(container_id, True, listed.pid, None, out_of_memory=starved)
        home = self._register.home(container_id)
        code = exit_code(home / BUNDLE) if home is not None else None
        return ContainerStatus(container_id, False, None, code, out_of_memory=starved)

    def balance(self, containers: Iterable[ContainerStatus]) -> None:
        """See `Driver.balance`."""
        groups = {one.id: self._group(one.id) for one in containers if one.running}
        self._giving_way.look(time.monotonic(), groups)

    def _group(self, container_id: str) -> str:
        # Not below a group of all: who gives way does so to those beside it alone, not to the whole device.
        return f"/headland-{self._scope}-{container_id}"

    def _signal(self, container_id: str, signal_number: int) -> None:
        if not self._is_running(container_id):
            return
        try:
            self._runc.kill(container_id, signal_number)
        except DriverError:
            # It may have ended between the look and the kill: that is no error.
            if self._is_running(container_id):
                raise

    def _remove(self, container_id: str) -> None:
        listed = self._runc.list().get(container_id)
        if listed is not None and listed.running:
            raise ContainerRunningError(
                "it runs", where=f"container {container_id}", fix="Stop it by a signal, then remove it."
            )
        home = self._register.home(container_id)
        if listed is not None or home is not None:
            self._clear(container_id, home, listed=listed)

    def _clear(self, container_id: str, home: Path | None, *, listed: ListedContainer | None) -> None:
        # Without force runc itself refuses a container that runs after all; what runc left half
        # made (created, or a folder without a state) it only deletes by force.
        self._runc.delete(container_id, force=listed is None or listed.status != "stopped")
        if home is not None:
            let_go(home / BUNDLE)
            self._clear_home(container_id, home)
        self._register.drop(container_id)

    def _clear_home(self, container_id: str, home: Path) -> None:
        unmount_staged(home / BUNDLE)
        self._roots.clear(container_id)
        unmount_and_delete(home / BUNDLE)

    def _execute(self, container_id: str, args: tuple[str, ...], timeout_s: float) -> Executed:
        home = self._register.home(container_id)
        listed = self._runc.list().get(container_id)
        if home is None or listed is None or not listed.running:
            raise stopped(container_id)
        bundle, mark = home / BUNDLE, f"exec-{secrets.token_hex(8)}"
        config = msgspec.json.decode((bundle / "config.json").read_bytes(), type=dict[str, Any])
        process, own_log = bundle / mark, bundle / f"{mark}.log"
        try:
            process.write_bytes(canonical(other_process(config, args)))
            with group_below(listed.pid, mark) as (group, folder):
                command = self._runc.exec_words(container_id, process, group, own_log)
                done = execute(
                    command, RUNC_ENVIRONMENT, timeout_s=timeout_s, started=lambda: processes_in(folder)
                )
            reason = last_reason(own_log) if done.exit_code else ""
        finally:
            process.unlink(missing_ok=True)
            own_log.unlink(missing_ok=True)
        if not reason:
            return done
        if not self._is_running(container_id):
            raise stopped(container_id)
        fix = "Check that the image has that program."
        raise DriverError(f"runc refused: {reason}", where=f"container {container_id}", fix=fix)

    def _is_running(self, container_id: str) -> bool:
        listed = self._runc.list().get(container_id)
        return listed is not None and listed.running


def _new_bundle(spec: ContainerSpec) -> Path:
    bundle = spec.home.absolute() / BUNDLE
    bundle.mkdir(mode=0o700)
    return bundle


def _held(grants: Grants) -> Grants:
    """Return grants in which a privileged container has each capability that the agent could give."""
    if not grants.privileged:
        return grants
    bounding = next(line for line in STATUS.read_text().splitlines() if line.startswith("CapBnd:"))
    held = int(bounding.split()[1], 16)
    names = tuple(name for number, name in enumerate(CAPABILITIES) if held >> number & 1)
    return replace(grants, capabilities=names)
