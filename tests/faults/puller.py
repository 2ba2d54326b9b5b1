"""A device whose agent pulls over real TLS and starts what it has in memory, each start judged."""

import os
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.artifacts.fetch import Registry
from agent.artifacts.store import ContentStore
from agent.drivers.fake import Behaviour, FakeDriver, FakeMachine
from agent.drivers.port import ContainerSpec
from agent.endpoints.listeners import Listeners
from agent.endpoints.module_api import Hooks
from agent.outbox.sqlite import SqliteOutbox
from agent.policy.file import PolicyFile
from agent.policy.granting import Granting
from agent.reconcile.device import Device
from agent.reconcile.executor import Executor
from agent.reconcile.loop import Reconciler
from agent.reconcile.records import AgentRecords, ContainerRecords
from contract.agent_api import IMAGE_ENV
from contract.desired import Desired, ImageRef, Module
from contract.messages import ModuleReport, Reported
from tests.faults.speaking import say_ready

ROUNDS = 60
PULL_TIMEOUT_S = 60.0
LONGER_THAN_ANY_WAIT_S = 61.0


@dataclass
class Puller:
    """One device that pulls from ``registry``; time is in ``now``, and passes only between rounds."""

    folder: Path
    registry: Registry
    truth: dict[str, dict[str, bytes]]
    """By image: every file that a container of it may see."""
    now: float = 0.0
    generation: int = 0
    wrong: list[str] = field(default_factory=list)
    report: Reported | None = None
    woken: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.machine = FakeMachine(self._judge)
        self.outbox = SqliteOutbox(self.folder / "outbox.db", max_bytes=1 << 20)
        self.begin()

    def begin(self) -> None:
        """Start an agent on what is on the disk."""
        self.device = Device(
            driver=FakeDriver(self.machine),
            store=ContentStore(self.folder / "content"),
            registry=self.registry,
            listeners=Listeners(self.folder / "run"),
            containers=ContainerRecords(self.folder / "containers"),
            records=AgentRecords(self.folder / "desired"),
            granting=Granting(self.folder, PolicyFile(None)),
        )
        hooks = Hooks(outbox=self.outbox, ready=lambda _: None, defer=lambda *_: 0.0, stored=lambda: None)
        self.executor = Executor(self.device, hooks, monotonic=lambda: self.now, wake=self.woken.set)
        self.reconciler = Reconciler(
            self.executor, self.device.records, self.outbox,
            interval_s=1, report_interval_s=1, report=self._keep,
        )  # fmt: skip

    def close(self) -> None:
        """End all of it."""
        self.executor.close()
        self.outbox.close()
        for name, container in self.machine.containers.items():
            if container.running:
                self.machine.exit(name, 0)

    def desire(self, image: ImageRef) -> None:
        """A document comes that was proved."""
        self.generation += 1
        now = datetime.now(UTC)
        self.reconciler.accept(
            Desired(
                device="cam-1", workspace="shop", generation=self.generation, issued_at=now,
                not_after=now + timedelta(days=1), rollout="r:1", modules=(Module(name="m", image=image),),
            )
        )  # fmt: skip

    def line(self) -> ModuleReport:
        """What is reported of the module."""
        assert self.report is not None
        (found,) = (each for each in self.report.modules if each.name == "m")
        return found

    def try_once(self) -> ModuleReport:
        """Let all waits pass, let one try of a pull begin and end, and return what is reported then."""
        self.now += LONGER_THAN_ANY_WAIT_S
        self.turn()
        self.pulls_end()
        self.turn()
        return self.line()

    def turn(self) -> None:
        """Go round until there is nothing to do but to wait; modules say that they serve."""
        for _ in range(ROUNDS):
            done = self.reconciler.round()
            self._modules_speak()
            if not done and not self.reconciler.round():
                return
            self.now += 0.1

    def pulls_end(self) -> None:
        """Wait for pulls in flight."""
        while self.executor.context().pulling:
            assert self.woken.wait(PULL_TIMEOUT_S), "a pull does not end"
            self.woken.clear()

    def pulls_last(self, at_least_s: float) -> bool:
        """Is a pull still in flight after so long?"""
        self.woken.clear()
        return not self.woken.wait(at_least_s) and bool(self.executor.context().pulling)

    def running(self) -> list[str]:
        """The images of the containers that run."""
        return sorted(c.spec.env[IMAGE_ENV] for c in self.machine.containers.values() if c.running)

    def _judge(self, spec: ContainerSpec) -> Behaviour:
        """A container is started: each byte that it may see has to be the true one."""
        seen = {
            str(path.relative_to(layer)): path.read_bytes()
            for layer in spec.layers
            for path in sorted(layer.rglob("*"))
            if path.is_file()
        }
        image = spec.env[IMAGE_ENV]
        if seen != self.truth[image]:
            self.wrong.append(image)
        return Behaviour()

    def _modules_speak(self) -> None:
        for name, container in list(self.machine.containers.items()):
            if container.running:
                say_ready(self.device.containers.run_folder(name))

    def _keep(self, reported: Reported) -> None:
        self.report = reported


def architecture() -> str:
    """Return this machine's, as images call it."""
    from contract.oci import architecture_of

    return architecture_of(os.uname().machine)
