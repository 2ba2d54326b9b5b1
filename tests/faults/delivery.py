"""A hub's documents on their way to a device: lost, twice, out of order, late; the agent is killed meanwhile.

The agent's own desk, records, planner and executor work on real files with the driver `FakeDriver`; its clock
is turned by hand, and nothing sleeps. What is judged is what the containers' machine was told to do.
"""

import os
import random
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent.artifacts.store import ContentStore
from agent.clock import EPOCH
from agent.drivers.fake import FakeDriver, FakeMachine
from agent.drivers.port import ContainerSpec
from agent.endpoints.listeners import Listeners
from agent.endpoints.module_api import Hooks
from agent.identity.store import DeviceFacts
from agent.outbox.sqlite import SqliteOutbox
from agent.policy.file import PolicyFile
from agent.policy.granting import Granting
from agent.reconcile.device import Device
from agent.reconcile.executor import Executor
from agent.reconcile.loop import Reconciler
from agent.reconcile.records import AgentRecords, ContainerRecords
from agent.trust.desk import Desk
from agent.trust.floor import TimeFloor
from cloud_hub.pki.signer import DesiredSigner
from contract.agent_api import IMAGE_ENV, MODULE_ENV
from contract.desired import Desired, Module
from contract.encoding import encode
from contract.messages import Reported
from tests.faults.memory_registry import Images, MemoryRegistry
from tests.faults.speaking import say_ready

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
MODULES, VERSIONS = ("a", "b"), (1, 2, 3)
ROUNDS, RESTARTS = 60, 6
PULL_TIMEOUT_S = 30.0
PATIENCE_S = 1e6  # a module that is slow to speak is another fault
SETS = st.dictionaries(st.sampled_from(MODULES), st.sampled_from(VERSIONS), min_size=1)


class KilledError(BaseException):
    """The agent ends here: no handler of its own sees it."""


class MortalMachine(FakeMachine):
    """Containers of an agent that may be killed just before or after it started or stopped one."""

    def __init__(self, started: Callable[[ContainerSpec], None]) -> None:
        super().__init__()
        self._started = started
        self.kill = ""

    def start(self, spec: ContainerSpec, listeners: Mapping[str, int]) -> None:
        """Start one, and tell."""
        self._may_die("before a start")
        self._started(spec)
        super().start(spec, listeners)
        self._may_die("after a start")

    def exit(self, container_id: str, code: int) -> None:
        """End one."""
        super().exit(container_id, code)
        self._may_die("after a stop")

    def _may_die(self, where: str) -> None:
        if self.kill == where:
            self.kill = ""
            raise KilledError


class Delivery(RuleBasedStateMachine):
    """One device, and a hub that issues documents whose generations grow."""

    images = Images(VERSIONS)
    signer = DesiredSigner(Ed25519PrivateKey.generate())
    stranger = DesiredSigner(Ed25519PrivateKey.generate())

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="hl-d-", dir=MEMORY))
        self.outbox = SqliteOutbox(self.folder / "outbox.db", max_bytes=1 << 20)
        self.machine = MortalMachine(self.on_start)
        self.now = 0.0
        self.issued: list[bytes] = []
        self.wanted: list[dict[str, int]] = []
        self.highest = 0
        self.starts: set[tuple[str, int]] = set()
        self.found: list[str] = []
        self.report: Reported | None = None
        self.pulled = threading.Event()
        self.begin()

    # What an agent is.

    def begin(self) -> None:
        """Start an agent on what is on the disk."""
        store = ContentStore(self.folder / "content")
        self.images.give_layers(store)
        self.registry = MemoryRegistry(self.images)
        self.device = Device(
            driver=FakeDriver(self.machine),
            store=store,
            registry=self.registry,
            listeners=Listeners(self.folder / "run"),
            containers=ContainerRecords(self.folder / "containers"),
            records=AgentRecords(self.folder / "desired"),
            granting=Granting(self.folder, PolicyFile(None)),
        )
        hooks = Hooks(outbox=self.outbox, ready=lambda _: None, defer=lambda *_: 0.0, stored=lambda: None)
        self.executor = Executor(self.device, hooks, monotonic=lambda: self.now, wake=self.pulled.set)
        records = self.device.records
        self.reconciler = Reconciler(
            self.executor, records, self.outbox, interval_s=1, report_interval_s=1, report=self.on_report
        )
        self.desk = self.desk_of(records)

    def desk_of(self, records: AgentRecords) -> Desk:
        """Return the agent's desk; a negative control has another."""
        return Desk(
            self.facts,
            records.load_desired,
            self.reconciler.accept,
            self.time_floor(),
            PolicyFile(None).refuses,
        )

    def time_floor(self) -> TimeFloor:
        """Return how late it is at the least, as it is on the disk."""
        return TimeFloor(self.folder / "desired" / "time.json", EPOCH)

    @property
    def facts(self) -> DeviceFacts:
        """What the device was told when it was enrolled."""
        return DeviceFacts(
            device="cam-1", workspace="shop", hub="", mqtt_host="", mqtt_port=1,
            desired_keys=self.signer.public_keys(),
        )  # fmt: skip

    def on_report(self, reported: Reported) -> None:
        """Keep the last report."""
        self.report = reported

    def on_start(self, spec: ContainerSpec) -> None:
        """A container is started: it has to be of the document in force, and for the first time."""
        module, version = spec.env[MODULE_ENV], int(spec.env[IMAGE_ENV].partition(":")[2])
        generation = self.generation()
        wanted = self.wanted[generation - 1]
        running = [c.spec.env[IMAGE_ENV] for c in self.machine.containers.values() if c.running]
        wrong = {
            "in force is another": wanted.get(module) != version,
            "it was started before": (module, generation) in self.starts,
            "it runs already": f"{module}:{version}" in running,
        }
        # Noted, not raised: the driver would make an error of its own of it.
        what = f"{module}:{version}, generation {generation}"
        self.found += [f"{what}: {how}" for how, is_so in wrong.items() if is_so]
        self.starts.add((module, generation))

    def generation(self) -> int:
        """Return the generation on disk."""
        desired = self.device.records.load_desired()
        return desired.generation if desired else 0

    # What may happen.

    @initialize(wanted=SETS)
    def issue_first(self, wanted: dict[str, int]) -> None:
        """The hub has a document for the device from the start."""
        self.issue(wanted)

    @rule(wanted=SETS)
    def issue(self, wanted: dict[str, int]) -> None:
        """The hub makes a document; it is on its way."""
        self.wanted.append(wanted)
        self.issued.append(self.document(len(self.wanted), wanted, self.signer))

    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        """Any document arrives: late, early, or once more. One that never does was lost."""
        self.offer(data.draw(st.integers(1, len(self.issued)), label="generation"))

    @rule(kind=st.sampled_from(["stranger", "elsewhere", "expired", "cut"]))
    def arrive_bad(self, kind: str) -> None:
        """What is not of the hub for this device, or no more, arrives with a high generation."""
        wanted = {"a": 1}
        number = len(self.wanted) + 5
        document = {
            "stranger": lambda: self.document(number, wanted, self.stranger),
            "elsewhere": lambda: self.document(number, wanted, self.signer, device="cam-2"),
            "expired": lambda: self.document(number, wanted, self.signer, days=-1),
            "cut": lambda: self.document(number, wanted, self.signer)[:-40],
        }[kind]()
        assert not isinstance(self.desk.offer(document), Desired)

    @rule(rounds=st.integers(1, 6), seconds=st.sampled_from([0.0, 1.0, 20.0]), moving=st.booleans())
    def work(self, rounds: int, seconds: float, moving: bool) -> None:
        """The agent's loop goes round; ``moving``: pulls and modules do their part meanwhile."""
        for _ in range(rounds):
            self.now += seconds
            if moving:
                self.pulls_end()
                self.modules_speak()
            self.round()

    @rule()
    def modules_speak(self) -> None:
        """Each container that runs says that it serves."""
        for name, container in list(self.machine.containers.items()):
            if container.running:
                self.say_ready(name)

    @rule()
    def pulls_end(self) -> None:
        """What is being pulled comes here."""
        self.registry.let_through()
        while self.executor.context().pulling:
            assert self.pulled.wait(PULL_TIMEOUT_S), "a pull does not end"
            self.pulled.clear()
        self.registry.hold()

    @rule(where=st.sampled_from(["", "before a start", "after a start", "after a stop"]))
    def die(self, where: str) -> None:
        """The agent is killed, now or at its next doing, and starts again."""
        if not where:
            self.restart()
        self.machine.kill = where

    # What has to hold.

    @invariant()
    def the_highest_that_came_is_in_force(self) -> None:
        """No valid one that came is forgotten, and none is in force that did not come."""
        assert self.generation() == self.highest

    @invariant()
    def nothing_is_done_twice_or_back(self) -> None:
        """Each container that was started was to be."""
        assert not self.found, self.found

    @invariant()
    def nobody_is_asked_to_stop_twice(self) -> None:
        """A container gets one SIGTERM."""
        for container in self.machine.containers.values():
            assert len(container.signals) <= 1, container.signals

    def teardown(self) -> None:
        """The hub repeats its last document: then exactly that runs."""
        try:
            self.converge()
        finally:
            self.registry.cut()
            self.executor.close()
            self.outbox.close()
            for name, container in self.machine.containers.items():
                if container.running:
                    self.machine.exit(name, 0)
            shutil.rmtree(self.folder)

    def converge(self) -> None:
        """Let all that is on its way come, in any order, and go round until nothing is left to do."""
        self.machine.kill = ""
        numbers = list(range(1, len(self.issued) + 1))
        dice = random.Random(len(numbers))
        dice.shuffle(numbers)
        for number in numbers:
            self.offer(number)
            self.work(2, 1.0, moving=True)
        for number in range(ROUNDS):
            if number < RESTARTS and dice.random() < 0.5:
                self.restart()
            self.pulls_end()
            self.modules_speak()
            self.now += 20
            done = self.round()
            if not done and (self.report is None or self.report.converged):
                break
        assert not self.found, self.found
        wanted = self.wanted[-1] if self.wanted else {}
        running = sorted(c.spec.env[IMAGE_ENV] for c in self.machine.containers.values() if c.running)
        assert running == sorted(f"{name}:{version}" for name, version in wanted.items())
        assert len(self.machine.containers) == len(wanted), "stopped containers are cleared away"
        for container in self.machine.containers.values():
            record = self.device.containers.get(container.spec.id)
            assert self.device.listeners.published(record.module.name) == record.listener

    # How it is done.

    def document(
        self,
        generation: int,
        wanted: dict[str, int],
        signer: DesiredSigner,
        *,
        device: str = "cam-1",
        days: int = 9,
    ) -> bytes:
        """Return a signed envelope."""
        now = datetime.now(UTC)
        modules = tuple(
            Module(name=name, image=self.images.image(name, version), ready_timeout_s=PATIENCE_S)
            for name, version in wanted.items()
        )
        desired = Desired(
            device=device, workspace="shop", generation=generation, issued_at=now,
            not_after=now + timedelta(days=days), rollout=f"r:{generation}", modules=modules,
        )  # fmt: skip
        return encode(signer.sign(encode(desired)))

    def offer(self, generation: int) -> None:
        """A document of the hub comes to the desk."""
        taken = isinstance(self.desk.offer(self.issued[generation - 1]), Desired)
        assert taken == (generation > self.highest), f"generation {generation} on top of {self.highest}"
        self.highest = max(self.highest, generation)

    def round(self) -> bool:
        """Go round once, unless the agent dies in it."""
        try:
            return self.reconciler.round()
        except KilledError:
            self.restart()
            return True

    def restart(self) -> None:
        """Kill the agent; containers run on."""
        self.registry.cut()
        self.executor.close()
        self.begin()

    def say_ready(self, container_id: str) -> None:
        """Speak as a container does, to its agent; nobody may be listening yet."""
        say_ready(self.device.containers.run_folder(container_id))


class LowDelivery(Delivery):
    """The negative control: a desk that forgets what it holds, and so takes lower generations."""

    def desk_of(self, records: AgentRecords) -> Desk:
        """Return a desk without a floor."""
        return Desk(self.facts, lambda: None, self.reconciler.accept, self.time_floor(), lambda _: None)

    def offer(self, generation: int) -> None:
        """A document of the hub comes to the desk; what it says is not judged, only what is done."""
        self.desk.offer(self.issued[generation - 1])
        self.highest = max(self.highest, generation)


class ForgetfulDelivery(Delivery):
    """Another: an agent that forgets at each start what it has started, and starts it again."""

    def restart(self) -> None:
        """Kill the agent, and lose its records of containers."""
        self.registry.cut()
        self.executor.close()
        shutil.rmtree(self.folder / "containers")
        self.begin()
