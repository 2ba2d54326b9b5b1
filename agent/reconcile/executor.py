"""Carries out the planner's steps on the real device, and observes what is there."""

import logging
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import assert_never

from agent.artifacts.fetch import Registry
from agent.artifacts.pull import StagedImage, pull_image, staged_image, sweep
from agent.artifacts.store import ContentStore
from agent.drivers.port import ContainerSpec, ContainerStatus, Driver, Mount
from agent.endpoints.listeners import Listeners
from agent.endpoints.module_api import Hooks, ModuleApi
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
    Pull,
    Remove,
    Start,
    Step,
)
from contract.agent_api import CONTAINER_ENV, IMAGE_ENV, MODULE_ENV, SOCKET_ENV
from contract.desired import Desired, Module
from contract.errors import HeadlandError

log = logging.getLogger(__name__)

RUN_TARGET = "/run/headland"
PULLS_AT_ONCE = 4
BACKOFF_MIN_S = 1.0
BACKOFF_MAX_S = 60.0


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
        self._staged: dict[str, StagedImage] = {}
        self._waits: dict[str, tuple[float, float]] = {}  # module: (not before, length of the wait)
        self._pulls = ThreadPoolExecutor(PULLS_AT_ONCE, thread_name_prefix="pull")
        self._pulling: dict[str, str] = {}
        self._pull_failures: list[tuple[str, str]] = []
        self._lock = threading.Lock()
        self.memory = device.records.load_memory()

    def close(self) -> None:
        """Let go of everything; containers run on."""
        self._pulls.shutdown(wait=False, cancel_futures=True)
        for api in self._apis.values():
            api.close()
        self._device.listeners.close()

    def observe(self, desired: Desired | None) -> Observed:
        """Return what is on the device now, and serve each living container's agent socket."""
        statuses = {status.id: status for status in self._device.driver.observe()}
        seen = [self._seen(record, statuses.get(record.id)) for record in self._device.containers.all()]
        for container in seen:
            if container.phase in {"starting", "ready", "draining"}:
                self._serve_api(container.id)
        modules = [*self.memory.committed.values(), *(desired.modules if desired else ())]
        staged = {m.image.digest for m in modules if self._stage_from_disk(m) is not None}
        return Observed(tuple(seen), frozenset(staged))

    def context(self) -> Context:
        """Return what is in flight."""
        now = self._monotonic()
        with self._lock:
            pulling = frozenset(self._pulling)
        waiting = frozenset(name for name, (not_before, _) in self._waits.items() if not_before > now)
        return Context(pulling=pulling, backing_off=waiting)

    def pull_failures(self, generation: int) -> list[Fail]:
        """Return, once each, the pulls that failed for good."""
        with self._lock:
            failures, self._pull_failures = self._pull_failures, []
        return [Fail(module, Failure(generation, reason)) for module, reason in failures]

    def carry_out(self, step: Step) -> None:
        """Do one step. An error is logged and leads to a wait: the next round plans anew."""
        try:
            self._carry_out(step)
        except HeadlandError as error:
            log.warning("%s failed: %s", type(step).__name__.lower(), error)
            if isinstance(step, Start):
                self._back_off(step.module.name)

    def _carry_out(self, step: Step) -> None:
        match step:
            case Pull(module):
                self._pull(module)
            case Start(module):
                self._start(module)
            case Commit(module):
                log.info("module %s: %s passed", module.name, module.image.name)
                failed = {k: v for k, v in self.memory.failed.items() if k != module.name}
                self._remember(Memory({**self.memory.committed, module.name: module}, failed))
                self._collect_garbage()
            case Fail(name, failure):
                log.error("module %s: generation %d failed: %s", name, failure.generation, failure.reason)
                self._remember(Memory(self.memory.committed, {**self.memory.failed, name: failure}))
            case Drain(container_id):
                self._device.containers.mark(container_id, "draining")
                self._device.driver.signal(container_id, signal.SIGTERM)
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
        staged = self._stage_from_disk(module)
        if staged is None:
            return
        listener = self._device.listeners.get(module.name)
        containers = self._device.containers
        record = containers.create(module)
        self._serve_api(record.id)
        self._device.driver.start(self._spec(record, staged), listener.fileno())
        containers.mark(record.id, "started")
        log.info("module %s: started %s as %s", module.name, module.image.name, record.id)

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
        if phase == "ready" and now - since > BACKOFF_MAX_S:
            self._waits.pop(record.module.name, None)
        if phase == "exited" and containers.marked(record.id, "draining"):
            phase = "lost"  # it stopped because it was asked to: no crash
        return ContainerSeen(record.id, record.module, phase, now - since, draining_s)

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
        record = next(r for r in self._device.containers.all() if r.id == container_id)
        if crashed:
            log.warning("container %s stopped by itself: %s", container_id, self._last_words(container_id))
            self._back_off(record.module.name)
        self._device.driver.remove(container_id)
        api = self._apis.pop(container_id, None)
        if api is not None:
            api.close()
        self._device.containers.remove(container_id)
        for key in [key for key in self._since if key[0] == container_id]:
            del self._since[key]

    def _last_words(self, container_id: str) -> str:
        return last_line(self._device.containers.log_file(container_id))

    def _back_off(self, module: str) -> None:
        _, before = self._waits.get(module, (0.0, BACKOFF_MIN_S / 2))
        wait = min(BACKOFF_MAX_S, before * 2)
        self._waits[module] = (self._monotonic() + wait, wait)

    def _pull(self, module: Module) -> None:
        digest = module.image.digest
        with self._lock:
            if digest in self._pulling:
                return
            self._pulling[digest] = module.name
        log.info("module %s: pulling %s", module.name, module.image.name)
        self._pulls.submit(self._pull_in_background, module)

    def _pull_in_background(self, module: Module) -> None:
        digest = module.image.digest
        try:
            self._staged[digest] = pull_image(module.image, self._device.registry, self._device.store)
            self._waits.pop(module.name, None)
        except HeadlandError as error:
            log.warning("module %s: pull failed: %s", module.name, error)
            self._back_off(module.name)
            if not error.retriable:
                with self._lock:
                    self._pull_failures.append((module.name, f"pull failed: {error} [{error.code}]"))
        except Exception as error:
            log.exception("module %s: pull failed", module.name)
            self._back_off(module.name)
            with self._lock:
                self._pull_failures.append((module.name, f"pull failed: {type(error).__name__}"))
        finally:
            with self._lock:
                del self._pulling[digest]
            self._wake()

    def _stage_from_disk(self, module: Module) -> StagedImage | None:
        digest = module.image.digest
        with self._lock:
            if digest in self._pulling:
                return None
        if digest not in self._staged:
            staged = staged_image(module.image, self._device.store)
            if staged is None:
                return None
            self._staged[digest] = staged
        return self._staged[digest]

    def _remember(self, memory: Memory) -> None:
        self._device.records.save_memory(memory)
        self.memory = memory

    def _collect_garbage(self) -> None:
        """Keep the images of what runs, what last passed and what is desired; sweep the rest."""
        with self._lock:
            if self._pulling:
                return
        desired = self._device.records.load_desired()
        if any(self._stage_from_disk(module) is None for module in (desired.modules if desired else ())):
            return  # on its way here: what was pulled of it so far must stay
        modules = [
            *(r.module for r in self._device.containers.all()),
            *self.memory.committed.values(),
            *(desired.modules if desired else ()),
        ]
        keep = {m.image.digest for m in modules}
        self._staged = {digest: image for digest, image in self._staged.items() if digest in keep}
        sweep([m.image for m in modules], self._device.store)


def last_line(log_file: Path) -> str:
    """Return the last line a container printed, shortened, or a dash."""
    try:
        lines = log_file.read_bytes()[-4096:].decode(errors="replace").strip().splitlines()
    except OSError:
        return "-"
    return lines[-1][:300] if lines else "-"
