"""Carries out the planner's steps on the real device, and observes what is there."""

import logging
import signal
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import assert_never

from agent.artifacts.pull import StagedImage
from agent.container_logs.last_words import last_words
from agent.durable import is_of_disk
from agent.endpoints.module_api import Hooks
from agent.endpoints.ports import PortBusyError
from agent.policy.granting import Granted
from agent.reconcile.backoff import DISK_WAIT_S, Backoff
from agent.reconcile.container import container_of
from agent.reconcile.device import Device
from agent.reconcile.giving import Giving
from agent.reconcile.pulls import Pulls
from agent.reconcile.remembering import remembering
from agent.reconcile.restarts import Restarts
from agent.reconcile.state import (
    Commit,
    Condemn,
    Context,
    Drain,
    Fail,
    Failure,
    Fetch,
    Finish,
    Forget,
    Kill,
    Memory,
    Note,
    Observed,
    Publish,
    Pull,
    Remove,
    Start,
    Step,
    spec_digest,
    wanted_modules,
)
from agent.reconcile.watch import CONDEMNED, Watch
from contract.desired import Desired, Module
from contract.errors import HeadlandError
from contract.messages import PullReport

log = logging.getLogger(__name__)

MAX_FAILED_STARTS = 3
TOLD_EVERY_S = 60.0


class Executor:
    """Observes and acts; keeps in memory only what a restart may lose (timers, pulls in flight).

    ``wake`` is called, from any thread, when there is something new to observe. ``besides`` is an image
    that is no module's, and is kept and pulled as theirs are; why it never will be is in
    ``refused_besides``, by digest.
    """

    def __init__(
        self,
        device: Device,
        hooks: Hooks,
        *,
        monotonic: Callable[[], float],
        wake: Callable[[], None],
        clock: Callable[[], datetime | None] = lambda: datetime.now(UTC),
    ) -> None:
        self._device = device
        self._failed_starts: dict[str, int] = {}
        self._start_troubles: dict[str, str] = {}
        self._told: dict[str, float] = {}
        self._killed: set[str] = set()
        self._monotonic = monotonic
        self._forbidden: dict[str, str] = {}
        self._backoff = Backoff(monotonic)
        self._watch = Watch(device, hooks, self._backoff, monotonic=monotonic, wake=wake, clock=clock)
        self.crashes: Counter[str] = Counter()
        self._restarts = Restarts()
        self._pulls = Pulls(device.registry, device.store, self._backoff, wake, device.flow, device.savings)
        self._giving = Giving(device.secrets, self._backoff, wake)
        self.memory = device.records.load_memory()
        self.besides: Module | None = None
        self.refused_besides: dict[str, str] = {}

    def close(self) -> None:
        """Let go of everything; containers run on."""
        self._watch.close()
        self._pulls.close()
        self._giving.close()
        self._device.listeners.close()
        self._device.ports.close()

    def observe(self, desired: Desired | None) -> Observed:
        """Return what is on the device now, and serve each living container's agent socket."""
        self._restarts.under(desired)
        seen = self._watch.containers(desired, self.memory)
        modules = [*self.memory.committed.values(), *(desired.modules if desired else ())]
        every = [*modules, *(container.module for container in seen)]
        self._pulls.keep([*every, *self._besides()])
        self._giving.keep(every, [container.id for container in seen])
        policy = self._device.granting.policy
        policy.current()  # also without a module: a wider one lets the hub send what was refused
        judged = ((spec_digest(module), policy.forbids(module)) for module in every)
        self._forbidden = {spec: reason for spec, reason in judged if reason}
        staged = {m.image.digest for m in modules if self._pulls.staged(m) is not None}
        return Observed(seen, frozenset(staged), self._giving.lacking(modules))

    def context(self) -> Context:
        """Return what is in flight."""
        return Context(
            pulling=self._pulls.in_flight(),
            backing_off=self._backoff.waiting(),
            broken=self._backoff.longest(),
            unhealthy=self._watch.unhealthy(),
            held=self._watch.held,
            pull_troubles=self._pulls.troubles(),
            start_troubles=self._start_troubles.copy(),
            fetching=self._giving.busy(),
            secret_troubles=self._giving.troubles(),
            forbidden=self._forbidden,
            alone=self._watch.alone,
            restarts=self._restarts.counts,
        )

    def bring(self, besides: Module) -> tuple[StagedImage | None, str]:
        """Pull ``besides`` if it is not here; return it once it is, or else what is the matter."""
        digest = besides.image.digest
        self.besides = besides
        staged = self._pulls.staged(besides)
        if staged is None and digest not in self._backoff.waiting() | self.refused_besides.keys():
            self._pulls.start(besides)
        return staged, self._pulls.troubles().get(digest, "")

    def is_here(self, module: Module) -> bool:
        """Is a module's image whole on disk?"""
        return self._pulls.staged(module) is not None

    def _besides(self) -> tuple[Module, ...]:
        return (self.besides,) if self.besides is not None else ()

    def pull_report(self) -> PullReport:
        """Return what pulls received, and what deltas saved."""
        return self._pulls.savings.report()

    def failures(self, desired: Desired) -> list[Fail]:
        """Return, once each, what could not be brought here for good and is still desired.

        A version that passed needs its secrets only for its next start: it has not failed.
        """
        wanted = wanted_modules(desired)
        taken = self._pulls.take_failures()
        self.refused_besides |= {m.image.digest: why for m, why in taken if m == self.besides}
        pulls = [
            (module, reason)
            for module, reason in taken
            if module.name in wanted and wanted[module.name].image == module.image
        ]
        secrets = [
            (module, reason)
            for module, reason in self._giving.take_failures()
            if wanted.get(module.name) == module and not self._has_passed(module)
        ]
        return [
            Fail(module.name, Failure(desired.generation, reason)) for module, reason in [*pulls, *secrets]
        ]

    def _has_passed(self, module: Module) -> bool:
        committed = self.memory.committed.get(module.name)
        return committed is not None and spec_digest(committed) == spec_digest(module)

    def carry_out(self, step: Step) -> bool:
        """Do one step; return whether it was done. An error is logged: a later round plans anew.

        What was killed before is no reason for a round at once: many processes take their time to end.
        """
        again = isinstance(step, Kill) and step.container_id in self._killed
        try:
            self._carry_out(step)
        except (HeadlandError, OSError) as error:
            self._tell(type(step).__name__.lower(), error)
            if isinstance(step, Start):
                self._start_failed(step.module, error)
            return False
        return not again

    def _tell(self, step: str, error: HeadlandError | OSError) -> None:
        """Log it; what the disk fails at is tried every other second, and the log may be on the same disk."""
        now = self._monotonic()
        if is_of_disk(error) and now - self._told.get(step, float("-inf")) < TOLD_EVERY_S:
            return
        self._told[step] = now
        log.warning("%s failed: %s", step, error)

    def _carry_out(self, step: Step) -> None:
        match step:
            case Pull() | Fetch():
                self._bring(step)
            case Start(module):
                self._start(module)
            case Publish(container_id):
                record = self._device.containers.get(container_id)
                self._device.listeners.publish(record.module.name, record.listener)
            case Commit() | Finish() | Fail():
                self._remember(remembering(self.memory, step))
                if isinstance(step, Commit):
                    self._collect_garbage()
            case Drain(container_id):
                # In this order: a mark without its signal would end in a kill with requests in hand.
                self._device.driver.signal(container_id, signal.SIGTERM)
                self._device.containers.mark(container_id, "draining")
            case Condemn(container_id):
                self._device.driver.signal(container_id, signal.SIGTERM)
                self._device.containers.mark(container_id, CONDEMNED)
                self._device.containers.mark(container_id, "draining")
            case Note():
                # Known from here on, also where the disk does not take it.
                self.memory = remembering(self.memory, step)
                self._device.records.save_memory(self.memory)
            case Kill(container_id, reason):
                self._kill(container_id, reason)
            case Remove(container_id, crashed, why):
                self._remove(container_id, crashed=crashed, why=why)
            case Forget(name):
                self._device.listeners.drop(name)
                self._start_troubles.pop(name, None)
                self._device.ports.keep(name, ())
                self._device.granting.volumes.forget(name)
                self._remember(remembering(self.memory, step))
                self._collect_garbage()
            case _:
                assert_never(step)

    def _kill(self, container_id: str, reason: str) -> None:
        if container_id not in self._killed:
            log.warning("container %s is killed: %s", container_id, reason)
        self._device.driver.signal(container_id, signal.SIGKILL)
        self._killed.add(container_id)

    def _bring(self, step: Pull | Fetch) -> None:
        if isinstance(step, Fetch):
            self._giving.start(step.module)
            return
        if step.module.life.update == "delete-first":
            self._collect_garbage(without=step.module.name)
        self._pulls.start(step.module)

    def _start(self, module: Module) -> None:
        staged = self._pulls.staged(module)
        if staged is None:
            return
        ports = self._device.ports.get(module.name, module.asks.ports)
        with self._device.granting.granted(module, staged.config.config.User) as granted:
            self._start_granted(module, staged, ports, granted)
        self._failed_starts.pop(spec_digest(module), None)
        self._start_troubles.pop(module.name, None)

    def _start_granted(
        self, module: Module, staged: StagedImage, ports: dict[str, int], granted: Granted
    ) -> None:
        name, listener = self._device.listeners.get(module.name)
        if module.name not in self._watch.serving:
            self._device.listeners.publish(module.name, name)  # whoever comes now waits instead of failing
        containers = self._device.containers
        record = containers.create(module, name)
        self._watch.serve(record.id)
        secrets = self._giving.hand_over(record.id, module, staged.config.config.User)
        spec = container_of(record, staged, containers, [*secrets, *granted.mounts], granted.grants)
        self._device.driver.start(spec, listener.fileno(), ports)
        containers.mark(record.id, "started")
        log.info("module %s: started %s as %s", module.name, module.image.name, record.id)

    def _start_failed(self, module: Module, error: HeadlandError | OSError) -> None:
        """Wait before the next try; a version on trial that cannot be started has failed.

        Where it is the disk's fault, or another program has its port, it is not the version's: it is looked
        at again soon, as often as needed.
        """
        spec = spec_digest(module)
        self._start_troubles[module.name] = f"cannot be started: {error}"
        if is_of_disk(error) or isinstance(error, PortBusyError):
            self._backoff.hold(spec, DISK_WAIT_S)
            return
        self._backoff.failed(spec)
        self._failed_starts[spec] = self._failed_starts.get(spec, 0) + 1
        for_good = isinstance(error, HeadlandError) and not error.retriable
        desired = self._device.records.load_desired()
        if desired is None or self.memory.committed.get(module.name) == module:
            return
        if for_good or self._failed_starts[spec] >= MAX_FAILED_STARTS:
            self._carry_out(Fail(module.name, Failure(desired.generation, f"could not be started: {error}")))

    def _remove(self, container_id: str, *, crashed: bool, why: str) -> None:
        record = self._device.containers.get(container_id)
        if crashed:
            words = last_words(self._device.containers.log_file(container_id))
            said = f"{why}; the last that it printed: {words}" if why else words
            log.warning("container %s stopped by itself: %s", container_id, said)
            self._backoff.failed(spec_digest(record.module))
            self.crashes[record.module.name] += 1
            self._restarts.stopped(record.module)
        self._device.driver.remove(container_id)
        self._giving.take_back(container_id)
        self._watch.forget(container_id)
        self._killed.discard(container_id)
        self._device.containers.remove(container_id)
        name = record.module.name
        left = [record for record in self._device.containers.all() if record.module.name == name]
        self._device.listeners.sweep(name, [record.listener for record in left])
        modules = [*(record.module for record in left), *filter(None, [self.memory.committed.get(name)])]
        self._device.ports.keep(name, [port for module in modules for port in module.asks.ports])

    def _remember(self, memory: Memory) -> None:
        self._device.records.save_memory(memory)
        self.memory = memory

    def _collect_garbage(self, *, without: str = "") -> None:
        """Keep the images of what runs, what last passed (but of one module) and what is desired."""
        desired = self._device.records.load_desired()
        self._pulls.collect_garbage(
            [
                *(record.module for record in self._device.containers.all()),
                *(module for name, module in self.memory.committed.items() if name != without),
                *(module for module in (desired.modules if desired else ()) if module.name != without),
                *self._besides(),
            ]
        )
