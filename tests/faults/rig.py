"""A device with a real agent process, two modules, and a hub of which only the registry answers.

What is judged is seen from outside: processes, sockets and files, never what the agent says of itself.
"""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.drivers.mounted import detach_below
from agent.drivers.port import Driver, DriverError
from agent.drivers.process import STATE_ENV, ProcessDriver
from agent.drivers.runc import RuncDriver
from agent.endpoints.control import Applied, ask, hand_over
from agent.errors import ControlUnavailableError, StateWriteError
from agent.reconcile.records import AgentRecords
from contract.agent_api import CONTAINER_ENV
from contract.desired import Desired, Limits, Module
from contract.encoding import decode
from contract.messages import Reported
from simulators.demo.stage import Daemon, StageError
from tests.artifacts.registry import Registry, serve
from tests.faults.images import PAYLOAD_BYTES, add_version
from tests.machine.device import PROGRAM, Enrolled

MODULES = ("a", "b")
SETTLES_WITHIN_S = 30.0
"""What a long run holds it to, on a machine that has little else to do."""
GENEROUS_S = 90.0
POLL_S = 0.02
UNKNOWN = -1
SETTINGS = """
reconcile_interval_s = {interval}
report_interval_s = {report}
[outbox]
max_bytes = {outbox}
[disk]
reserve_bytes = {reserve}
"""


class FaultFoundError(AssertionError):
    """The agent did not keep a promise; the message says which and shows its log."""


@dataclass(frozen=True)
class Settled:
    """What runs after a fault: the generation that is stored, the version of its modules, after how long."""

    generation: int
    version: int
    seconds: float


class Rig:
    """One device in ``folder``; its state may be on a disk of its own, mounted at ``folder/d/state``."""

    def __init__(
        self,
        folder: Path,
        driver: str = "process",
        *,
        versions: int = 2,
        payload_bytes: int = PAYLOAD_BYTES,
        interval_s: float = 0.3,
        report_s: float = 1.0,
        reserve_bytes: int = 0,
        outbox_bytes: int = 16 * 1024 * 1024,
    ) -> None:
        self.folder, self.kind = folder, driver
        self.registry = Registry()
        self.device = Enrolled(folder / "d")
        key, certificate = self.device.authority.issue_server(["localhost", "127.0.0.1"])
        (folder / "server.pem").write_bytes(key + certificate)
        (folder / "ca.pem").write_bytes(self.device.authority.ca_pem)
        self._server, _ = serve(self.registry, folder, own=(folder / "server.pem", folder / "ca.pem"))
        self.device.hub = self.registry.url.replace("127.0.0.1", "localhost")
        self.device.enrol()
        self.images = {
            v: add_version(self.registry, v, payload_bytes=payload_bytes) for v in range(1, versions + 1)
        }
        settings = folder / "agent.toml"
        settings.write_text(
            SETTINGS.format(interval=interval_s, report=report_s, outbox=outbox_bytes, reserve=reserve_bytes)
        )
        self._words = ("run", "--state-dir", str(self.state), "--driver", driver, "--config", str(settings))
        self.daemon = Daemon("agent", folder, (PROGRAM, *self._words))
        self.accepted = self.seen = 0
        self._lives = 0

    @property
    def state(self) -> Path:
        """The state folder."""
        return self.device.state

    def with_prefix(self, *prefix: str) -> None:
        """Start the agent by another program from now on."""
        self._lives += 1
        self.daemon = Daemon(f"agent-{self._lives}", self.folder, (*prefix, PROGRAM, *self._words))

    def document(self, generation: int, version: int, *, modules: Sequence[str] = MODULES) -> bytes:
        """Return the signed document of a generation whose modules have one version."""
        image = self.images[version]
        found = (
            Module(name=name, image=image, stop_grace_s=3, limits=Limits(memory_bytes=32 * 1024 * 1024))
            for name in modules
        )
        return self.device.document(generation, *found)

    def apply(self, generation: int, version: int) -> Applied | None:
        """Give the agent a document; None where it did not say that it is in force."""
        try:
            applied = hand_over(self.state, self.document(generation, version))
        except (ControlUnavailableError, StateWriteError):
            return None
        self.accepted = max(self.accepted, applied.generation)
        return applied

    def stored(self) -> Desired | None:
        """Return the document on disk."""
        return AgentRecords(self.state / "desired").load_desired()

    def version_of(self, desired: Desired) -> int:
        """Return the version of a document's modules."""
        (image,) = {module.image for module in desired.modules}
        return next(version for version, each in self.images.items() if each == image)

    def driver(self) -> Driver:
        """Return a driver that has seen nothing yet."""
        return ProcessDriver(self.state) if self.kind == "process" else RuncDriver(self.state)

    def processes(self) -> dict[int, str]:
        """Return the containers that run here, by their process."""
        if self.kind == "runc":
            seen = self.driver().observe()
            return {each.pid: each.id for each in seen if each.running and each.pid is not None}
        mark, found = f"{STATE_ENV}={self.state.absolute()}", {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                environment = (entry / "environ").read_text(errors="replace") if entry.name.isdigit() else ""
                if mark in (words := environment.split("\0")):
                    name = next(word for word in words if word.startswith(f"{CONTAINER_ENV}="))
                    found[int(entry.name)] = name.partition("=")[2]
        return found

    def running(self) -> dict[str, list[int]]:
        """Return by module the versions that processes run, as they lie in the images that they run from."""
        found: dict[str, list[int]] = {}
        for pid, name in self.processes().items():
            found.setdefault(name.rpartition("-")[0], []).append(self._version_in(pid))
        return found

    def _version_in(self, pid: int) -> int:
        try:
            if self.kind == "runc":
                return int(Path(f"/proc/{pid}/root/version").read_text())
            program = Path(f"/proc/{pid}/exe").readlink()
            return int((program.parent.parent / "version").read_text())
        except (OSError, ValueError):
            return UNKNOWN

    def served(self, module: str) -> int:
        """Return the version that answers on a module's socket."""
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(30)
                client.connect(str(self.state / "run" / f"{module}.sock"))
                return int(client.recv(64))
        except (OSError, ValueError):
            return UNKNOWN

    def reported(self) -> Reported | None:
        """Return what the agent last said of itself: its heartbeat, never a proof."""
        try:
            status, body = ask(self.state, "/v1/reported")
        except ControlUnavailableError:
            return None
        return decode(body, Reported, what="report") if status == 200 else None

    def reported_states(self) -> set[str]:
        """Return the states that the agent reports of its modules."""
        report = self.reported()
        return {module.state for module in report.modules} if report is not None else set()

    def start(self) -> None:
        """Start the agent and wait for its first line."""
        self.daemon.start("driver")

    def first(self, version: int = 1) -> Settled:
        """Start the agent with its first document, and wait until that runs."""
        self.start()
        if self.apply(1, version) is None:
            raise FaultFoundError(f"the first document was not taken:\n{self.daemon.log[-4000:]}")
        return self.settled()

    def next(self) -> tuple[int, int]:
        """Return the next generation, and the version that is not the stored one."""
        stored = self.stored()
        if stored is None:
            return 1, 1
        return max(stored.generation, self.accepted) + 1, 3 - self.version_of(stored)

    def settled(self, within_s: float = GENEROUS_S) -> Settled:
        """Wait until exactly the stored document's set runs and serves; raises `FaultFoundError`.

        It does so where that never comes, and where a generation is stored that is below one seen or
        acknowledged before.
        """
        began = time.monotonic()
        while True:
            desired = self.stored()
            generation = desired.generation if desired else 0
            if generation < max(self.seen, self.accepted):
                raise FaultFoundError(
                    f"generation {generation} is stored; {self.accepted} was acknowledged, {self.seen} seen"
                )
            self.seen = generation
            if desired is not None and self._says_so(generation) and self.runs(desired):
                return Settled(generation, self.version_of(desired), time.monotonic() - began)
            if time.monotonic() - began > within_s:
                raise FaultFoundError(
                    f"generation {generation}: {self.running()} runs, "
                    f"{[self.served(module) for module in MODULES]} answer\n{self.daemon.log[-6000:]}"
                )
            time.sleep(POLL_S)

    def _says_so(self, generation: int) -> bool:
        """Has the agent looked? That it is content is when to look, never what is seen."""
        report = self.reported() if self.alive() else None
        return report is not None and report.generation == generation and report.converged

    def runs(self, desired: Desired) -> bool:
        """Do exactly a document's modules run, one process each, and answer?"""
        version = self.version_of(desired)
        wanted = {module.name: [version] for module in desired.modules}
        try:
            return self.running() == wanted and all(self.served(name) == version for name in wanted)
        except DriverError:
            return False  # looked at in the middle of a change

    def alive(self) -> bool:
        """Does the agent's process run?"""
        return self.daemon.is_alive()

    def left_in_driver(self) -> set[str]:
        """Return the containers that the driver knows and nobody keeps a record of."""
        homes = {
            path.name for path in (self.state / "containers").glob("*") if (path / "record.json").exists()
        }
        return {container.id for container in self.driver().observe()} - homes

    def kill_everything(self) -> None:
        """End the agent and all containers at once, as a loss of power does, with what else it started."""
        beside = self._in_its_mounts()
        self.daemon.kill()
        for pid in [*self.processes(), *beside]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            _reap(pid)

    def _in_its_mounts(self) -> list[int]:
        """Return who lives in the agent's mount namespace, where it has its own: they hold its disk."""
        try:
            its = _mounts_of(self.daemon.pid)
        except StageError:  # it does not run
            return []
        if its == _mounts_of(os.getpid()):
            return []
        pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
        return [pid for pid in pids if _mounts_of(pid) == its]

    def kill_one(self, module: str) -> None:
        """End a module's containers."""
        for pid, name in self.processes().items():
            if name.startswith(f"{module}-"):
                os.kill(pid, signal.SIGKILL)
                _reap(pid)

    def close(self) -> None:
        """Leave nothing running."""
        self.kill_everything()
        driver = self.driver()
        for container in driver.observe():
            deadline = time.monotonic() + 10
            while any(c.id == container.id and c.running for c in driver.observe()):
                assert time.monotonic() < deadline, f"{container.id} does not end"
                self.kill_everything()  # who was about to start it outlived the agent
                time.sleep(POLL_S)
            driver.remove(container.id)
        detach_below(self.state / "containers", "what the agent mounted")  # folders of modules' sockets
        self._server.shutdown()
        self._server.server_close()


def _mounts_of(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/mnt").readlink())
    except OSError:
        return ""


def _reap(pid: int) -> None:
    """Wait for an orphan that this process adopted; others have their own parents."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
