"""Carries out the planner's steps on the real device, and observes what is there."""

import logging
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import assert_never

from agent.artifacts.fetch import Registry
from agent.artifacts.pull import StagedImage
from agent.artifacts.store import ContentStore
from agent.drivers.port import ContainerSpec, ContainerStatus, Driver, Mount
from agent.endpoints.listeners import Listeners
from agent.endpoints.module_api import Hooks, ModuleApi
from agent.reconcile.backoff import Backoff
from agent.reconcile.pulls import Pulls
from agent.reconcile.records import AgentRecords, ContainerRecords, Record
from agent.reconcile.state import (
    Commit,
    ContainerSeen,
    Context,
    Drain,
    Fail,
    Failure,
    Forget,
    Kill,
    Memory,
    Observed,
    Phase,
    Publish,
    Pull,
    Remove,
    Start,
    Step,
    spec_digest,
)
from contract.agent_api import CONTAINER_ENV, IMAGE_ENV, MODULE_ENV, SOCKET_ENV
from contract.desired import Desired, Module
from contract.errors import HeadlandError
from contract.messages import PullReport

log = logging.getLogger(__name__)

RUN_TARGET = "/run/headland"
HEALTHY_AFTER_S = 60.0
MAX_FAILED_STARTS = 3
LAST_WORDS_BYTES = 4096


@dataclass(frozen=True)
class Device:
    """The adapters that the executor works with."""

    driver: Driver
    store: ContentStore
    registry: Registry
    listeners: Listeners
    containers: ContainerRecords
    records: AgentRecords


class Executor:
    """Observes and acts; keeps in memory only what a restart may lose (timers, pulls in flight).

    ``wake`` is called, from any thread, when there is something new to observe.
    """

    def __init__(
        self, device: Device, hooks: Hooks, *, monotonic: Callable[[], float], wake: Callable[[], None]
    ) -> None:
        self._device = device
        self._hooks = replace(hooks, ready=self._on_ready)
        self._monotonic = monotonic
        self._wake = wake
        self._apis: dict[str, ModuleApi] = {}
        self._since: dict[tuple[str, Phase], float] = {}
        self._serving: set[str] = set()
        self._failed_starts: dict[str, int] = {}
        self._backoff = Backoff(monotonic)
        self.crashes: Counter[str] = Counter()
        self._pulls = Pulls(device.registry, device.store, self._backoff, wake)
        self.memory = device.records.load_memory()

    def close(self) -> None:
        """Let go of everything; containers run on."""
        self._pulls.close()
        for api in self._apis.values():
            api.close()
        self._device.listeners.close()

    def observe(self, desired: Desired | None) -> Observed:
        """Return what is on the device now, and serve each living container's agent socket."""
        statuses = {status.id: status for status in self._device.driver.observe()}
        seen = [self._seen(record, statuses.get(record.id)) for record in self._device.containers.all()]
        self._serving = {container.module.name for container in seen if container.phase == "ready"}
        for container in seen:
            if container.phase in {"starting", "ready", "draining"}:
                self._serve_api(container.id)
        modules = [*self.memory.committed.values(), *(desired.modules if desired else ())]
        staged = {m.image.digest for m in modules if self._pulls.staged(m) is not None}
        return Observed(tuple(seen), frozenset(staged))

    def context(self) -> Context:
        """Return what is in flight."""
        return Context(pulling=self._pulls.in_flight(), backing_off=self._backoff.waiting())

    def pull_report(self) -> PullReport:
        """Return what pulls received, and what deltas saved."""
        return self._pulls.savings.report()

    def pull_failures(self, desired: Desired) -> list[Fail]:
        """Return, once each, the pulls that failed for good and are still desired."""
        wanted = {module.name: module.image for module in desired.modules}
        return [
            Fail(module.name, Failure(desired.generation, reason))
            for module, reason in self._pulls.take_failures()
            if wanted.get(module.name) == module.image
        ]

    def carry_out(self, step: Step) -> None:
        """Do one step. An error is logged and leads to a wait: the next round plans anew."""
        try:
            self._carry_out(step)
        except (HeadlandError, OSError) as error:
            log.warning("%s failed: %s", type(step).__name__.lower(), error)
            if isinstance(step, Start):
                self._start_failed(step.module, error)

    def _carry_out(self, step: Step) -> None:
        match step:
            case Pull(module):
                self._pulls.start(module)
            case Start(module):
                self._start(module)
            case Publish(container_id):
                record = self._record(container_id)
                self._device.listeners.publish(record.module.name, record.listener)
            case Commit(module):
                log.info("module %s: %s passed", module.name, module.image.name)
                failed = {k: v for k, v in self.memory.failed.items() if k != module.name}
                self._remember(Memory({**self.memory.committed, module.name: module}, failed))
                self._collect_garbage()
            case Fail(name, failure):
                log.error("module %s: generation %d failed: %s", name, failure.generation, failure.reason)
                self._remember(Memory(self.memory.committed, {**self.memory.failed, name: failure}))
            case Drain(container_id):
                # In this order: a mark without its signal would end in a kill with requests in hand.
                self._device.driver.signal(container_id, signal.SIGTERM)
                self._device.containers.mark(container_id, "draining")
            case Kill(container_id):
                log.warning("container %s did not stop in its grace: killed", container_id)
                self._device.driver.signal(container_id, signal.SIGKILL)
            case Remove(container_id, crashed):
                self._remove(container_id, crashed=crashed)
            case Forget(name):
                self._device.listeners.drop(name)
                committed = {k: v for k, v in self.memory.committed.items() if k != name}
                failed = {k: v for k, v in self.memory.failed.items() if k != name}
                self._remember(Memory(committed, failed))
                self._collect_garbage()
            case _:
                assert_never(step)

    def _start(self, module: Module) -> None:
        staged = self._pulls.staged(module)
        if staged is None:
            return
        name, listener = self._device.listeners.get(module.name)
        if module.name not in self._serving:
            self._device.listeners.publish(module.name, name)  # whoever comes now waits instead of failing
        containers = self._device.containers
        record = containers.create(module, name)
        self._serve_api(record.id)
        self._device.driver.start(self._spec(record, staged), listener.fileno())
        containers.mark(record.id, "started")
        self._failed_starts.pop(spec_digest(module), None)
        log.info("module %s: started %s as %s", module.name, module.image.name, record.id)

    def _start_failed(self, module: Module, error: HeadlandError | OSError) -> None:
        """Wait before the next try; a version on trial that cannot be started has failed."""
        spec = spec_digest(module)
        self._backoff.failed(spec)
        self._failed_starts[spec] = self._failed_starts.get(spec, 0) + 1
        for_good = isinstance(error, HeadlandError) and not error.retriable
        desired = self._device.records.load_desired()
        if desired is None or self.memory.committed.get(module.name) == module:
            return
        if for_good or self._failed_starts[spec] >= MAX_FAILED_STARTS:
            self._carry_out(Fail(module.name, Failure(desired.generation, f"could not be started: {error}")))

    def _spec(self, record: Record, staged: StagedImage) -> ContainerSpec:
        module, config, containers = record.module, staged.config.config, self._device.containers
        env = dict(entry.partition("=")[::2] for entry in config.Env)
        env |= module.env
        env |= {
            SOCKET_ENV: f"{RUN_TARGET}/agent.sock",
            MODULE_ENV: module.name,
            IMAGE_ENV: module.image.name,
            CONTAINER_ENV: record.id,
            "HEADLAND_STOP_GRACE_S": f"{module.stop_grace_s:g}",
        }
        return ContainerSpec(
            id=record.id,
            layers=staged.layers,
            args=config.Entrypoint + config.Cmd,
            env=env,
            cwd=config.WorkingDir,
            user=config.User,
            mounts=(Mount(containers.run_folder(record.id), RUN_TARGET, read_only=False),),
            limits=module.limits,
            home=containers.driver_folder(record.id),
            log=containers.log_file(record.id),
        )

    def _seen(self, record: Record, status: ContainerStatus | None) -> ContainerSeen:
        containers, phase = self._device.containers, self._phase(record, status)
        now = self._monotonic()
        since = self._since.setdefault((record.id, phase), now)
        draining_s = now - since if phase == "draining" else 0.0
        if phase == "ready" and now - since > HEALTHY_AFTER_S:
            self._backoff.healthy(spec_digest(record.module))
        if phase == "exited" and containers.marked(record.id, "draining"):
            phase = "lost"  # it stopped because it was asked to: no crash
        published = self._device.listeners.published(record.module.name) == record.listener
        return ContainerSeen(record.id, record.module, phase, now - since, draining_s, published)

    def _phase(self, record: Record, status: ContainerStatus | None) -> Phase:
        containers = self._device.containers
        if status is not None and status.running:
            if containers.marked(record.id, "draining"):
                return "draining"
            return "ready" if containers.marked(record.id, "ready") else "starting"
        was_started = containers.marked(record.id, "started") and containers.of_this_boot(record)
        return "exited" if was_started else "lost"

    def _serve_api(self, container_id: str) -> None:
        if container_id not in self._apis:
            path = self._device.containers.run_folder(container_id) / "agent.sock"
            self._apis[container_id] = ModuleApi(container_id, path, self._hooks)

    def _on_ready(self, container_id: str) -> None:
        self._device.containers.mark(container_id, "ready")
        self._wake()

    def _remove(self, container_id: str, *, crashed: bool) -> None:
        record = self._record(container_id)
        if crashed:
            log.warning("container %s stopped by itself: %s", container_id, self._last_words(container_id))
            self._backoff.failed(spec_digest(record.module))
            self.crashes[record.module.name] += 1
        self._device.driver.remove(container_id)
        api = self._apis.pop(container_id, None)
        if api is not None:
            api.close()
        self._device.containers.remove(container_id)
        for key in [key for key in self._since if key[0] == container_id]:
            del self._since[key]
        name = record.module.name
        held = [r.listener for r in self._device.containers.all() if r.module.name == name]
        self._device.listeners.sweep(name, held)

    def _record(self, container_id: str) -> Record:
        return next(r for r in self._device.containers.all() if r.id == container_id)

    def _last_words(self, container_id: str) -> str:
        log_file = self._device.containers.log_file(container_id)
        newest = last_line(log_file)
        # It may have been set aside just before.
        return newest if newest != "-" else last_line(log_file.with_name(f"{log_file.name}.1"))

    def _remember(self, memory: Memory) -> None:
        self._device.records.save_memory(memory)
        self.memory = memory

    def _collect_garbage(self) -> None:
        """Keep the images of what runs, what last passed and what is desired; sweep the rest."""
        desired = self._device.records.load_desired()
        self._pulls.collect_garbage(
            [
                *(record.module for record in self._device.containers.all()),
                *self.memory.committed.values(),
                *(desired.modules if desired else ()),
            ]
        )


def last_line(log_file: Path) -> str:
    """Return the last line a container printed, shortened, or a dash."""
    try:
        with log_file.open("rb") as file:
            file.seek(max(0, log_file.stat().st_size - LAST_WORDS_BYTES))
            lines = file.read(LAST_WORDS_BYTES).decode(errors="replace").strip().splitlines()
    except OSError:
        return "-"
    return lines[-1][:300] if lines else "-"
