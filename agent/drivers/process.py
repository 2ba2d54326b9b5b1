"""The driver `ProcessDriver`: plain processes, with NO isolation, for a laptop without runc.

A container here is a process of the agent's own user. It sees the device's files, network and
processes. Its image is found through rewritten paths and its own ELF loader:

* absolute paths among arguments, and in the environment between colons, are turned into the
  device's where they exist in the image or lie below a mount; paths that a program has built in
  are not, nor are other ``LD_*`` variables kept than ``LD_LIBRARY_PATH``;
* devices and the network are the machine's; capabilities and ``privileged`` are refused;
* ``user`` and the read-only flag of mounts are ignored; nothing stops writes into the image;
* memory: writable data (RLIMIT_DATA) up to four times the limit, so a runaway ends; CPU and number
  of processes: not limited; no core files; no new privileges where ``setpriv`` is on the PATH;
* a small process beside each holds its exit code, also while no agent lives.
"""

import contextlib
import dataclasses
import os
import secrets
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import msgspec

from agent.drivers import process_record
from agent.drivers.executing import execute
from agent.drivers.held import await_held, exit_code, hold, let_go
from agent.drivers.port import (
    ContainerRunningError,
    ContainerSpec,
    ContainerStatus,
    Driver,
    DriverError,
    DriverTimeoutError,
    Executed,
    stopped,
)
from agent.drivers.proc import marked
from agent.drivers.process_command import command_of, other_command
from agent.drivers.register import Register
from agent.drivers.rootfs import MergedLayers
from agent.drivers.spawn import POLL_S
from agent.drivers.undoing import undone
from contract.agent_api import CONTAINER_ENV

STATE_ENV = "HEADLAND_STATE_DIR"
OWN = "process"  # the folder in a container's home that is this driver's own
GONE = "process.gone"  # the same, on its way out
SPEC = "spec.json"
EXEC_ENV = "HEADLAND_EXEC"  # tells what runs for one `execute` from all else
START_TIMEOUT_S = 10.0


class ProcessDriver(Driver):
    """Processes entered below ``state_dir``; another agent's, in another folder, are never seen."""

    name: ClassVar[str] = "process"

    def __init__(self, state_dir: Path) -> None:
        self._state = state_dir.absolute()
        self._register = Register(self._state / "process-homes")
        self._merged = MergedLayers(self._state / "rootfs")

    def _start(self, spec: ContainerSpec, listeners: Mapping[str, int]) -> None:
        if self._register.home(spec.id) is not None:
            raise ContainerRunningError(
                "it exists already", where=f"container {spec.id}", fix="Remove it, or use another id."
            )
        own = spec.home.absolute() / OWN
        with undone(lambda: self._abandon(spec.id), f"container {spec.id}"):
            with self._merged.locked():
                self._register.add(spec.id, spec.home)
                (own / "tmp").mkdir(parents=True, mode=0o700)
                root = self._merged.merge(spec.layers)
                (own / "rootfs").symlink_to(root)
            command = command_of(spec, root, own, listeners)
            env = command.env | self._marks(spec.id)
            (own / SPEC).touch(mode=0o600)
            (own / SPEC).write_bytes(msgspec.json.encode(spec, enc_hook=str))
            pid = hold("child", command.words, env, own=own, log=spec.log, listeners=listeners.values())
            self._await_record(spec.id, pid, own)

    def _abandon(self, container_id: str) -> None:
        """Undo a start, also where its program runs by now."""
        self._signal(container_id, signal.SIGKILL)
        deadline = time.monotonic() + START_TIMEOUT_S
        while (home := self._register.home(container_id)) and self._status(container_id, home).running:
            if time.monotonic() > deadline:
                break
            time.sleep(POLL_S)
        self._clear(container_id)

    def _await_record(self, container_id: str, holder: int, own: Path) -> None:
        """Wait until its shell has written who it is, just before it becomes the program."""
        deadline = time.monotonic() + START_TIMEOUT_S
        where = f"container {container_id}"
        code = await_held(holder, own, START_TIMEOUT_S)
        while code == 0 and not (own / process_record.FILE).exists():
            code = exit_code(own) or 0
            if time.monotonic() > deadline:
                code = None
            time.sleep(POLL_S)
        if code is None:
            raise DriverTimeoutError("its shell does not start", where=where, fix="Retry.")
        if code != 0:
            raise DriverError(f"its shell ended with {code}", where=where, fix="See the container's log.")

    def _observe(self) -> tuple[ContainerStatus, ...]:
        return tuple(
            self._status(container_id, home) for container_id, home in self._register.homes().items()
        )

    def _status(self, container_id: str, home: Path) -> ContainerStatus:
        record = process_record.recorded(home / OWN)
        if record is not None and process_record.still_runs(record):
            return ContainerStatus(container_id, running=True, pid=record.pid, exit_code=None)
        return ContainerStatus(container_id, running=False, pid=None, exit_code=exit_code(home / OWN))

    def _signal(self, container_id: str, signal_number: int) -> None:
        home = self._register.home(container_id)
        record = process_record.recorded(home / OWN) if home else None
        if record is None:
            return
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(record.pid)
            try:
                # Looked at after the descriptor is held: it cannot become another process any more.
                if process_record.still_runs(record):
                    if signal_number == signal.SIGKILL:
                        os.killpg(record.pid, signal.SIGKILL)
                    signal.pidfd_send_signal(descriptor, signal_number)
            finally:
                os.close(descriptor)

    def _remove(self, container_id: str) -> None:
        home = self._register.home(container_id)
        if home is None:
            return
        if self._status(container_id, home).running:
            raise _running(container_id)
        self._clear(container_id)

    def _execute(self, container_id: str, args: tuple[str, ...], timeout_s: float) -> Executed:
        home = self._register.home(container_id)
        if home is None or not self._status(container_id, home).running:
            raise stopped(container_id)
        own = home / OWN
        spec = msgspec.json.decode((own / SPEC).read_bytes(), type=ContainerSpec, dec_hook=_path)
        command = other_command(dataclasses.replace(spec, args=args), (own / "rootfs").readlink(), own)
        mark = {EXEC_ENV: secrets.token_hex(8)}
        env = command.env | self._marks(container_id) | mark
        return execute(command.words, env, timeout_s=timeout_s, started=lambda: marked(mark))

    def _clear(self, container_id: str) -> None:
        home = self._register.home(container_id)
        if home is None:
            return
        own, gone = home / OWN, home / GONE
        with contextlib.suppress(FileNotFoundError):
            own.rename(gone)
        # A shell that a killed agent left behind may have been about to write its record. From here
        # on it cannot, and ends; if it did just before, its program runs after all.
        record = process_record.recorded(gone)
        if record is not None and process_record.still_runs(record):
            gone.rename(own)
            raise _running(container_id)
        let_go(gone)
        if record is not None:
            self._kill_left_overs(container_id, record.pid)
        with self._merged.locked():
            if gone.exists():
                shutil.rmtree(gone)
            self._register.drop(container_id)
            links = [other / OWN / "rootfs" for other in self._register.homes().values()]
            self._merged.prune(link.readlink() for link in links if link.is_symlink())

    def _kill_left_overs(self, container_id: str, session: int) -> None:
        """End what the first process left behind: it would still take connections of the listener."""
        for pid in marked(self._marks(container_id), session=session):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _marks(self, container_id: str) -> dict[str, str]:
        return {CONTAINER_ENV: container_id, STATE_ENV: str(self._state)}


def _path(kind: type, value: object) -> object:
    return kind(value)


def _running(container_id: str) -> ContainerRunningError:
    where = f"container {container_id}"
    return ContainerRunningError("it runs", where=where, fix="Stop it by a signal, then remove it.")
