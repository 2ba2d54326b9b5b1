"""A simulated device's machine, below the agent's planner: images and containers that are only counted.

It is what `agent.reconcile.executor` is on a real device: the planner and the reports see the same values.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import assert_never

from agent.reconcile.backoff import Backoff
from agent.reconcile.remembering import remembering
from agent.reconcile.state import (
    Commit,
    Condemn,
    ContainerSeen,
    Context,
    Drain,
    Fail,
    Fetch,
    Finish,
    Forget,
    Kill,
    Memory,
    Note,
    Observed,
    Phase,
    Publish,
    Pull,
    Remove,
    Start,
    Step,
    spec_digest,
)
from contract.desired import Desired, Module
from contract.messages import PullReport
from simulators.fleet.behaviour import Behaviour, Span
from simulators.fleet.timers import Timers

A_LITTLE_S = 0.05
KILLED, CRASHED = 137, 1


@dataclass
class Container:
    """One container: ``since`` is when it came into its phase."""

    module: Module
    phase: Phase
    since: float
    published: bool = False
    asked_to_stop: bool = False
    exit_code: int | None = None


class SimulatedMachine:
    """Implements `agent.reconcile.hands.Hands`; ``wake`` is called when there is something new to see."""

    def __init__(
        self, behaviour: Behaviour, timers: Timers, chance: Random, wake: Callable[[], None]
    ) -> None:
        self.behaviour = behaviour
        self._timers, self._chance, self._wake = timers, chance, wake
        self._containers: dict[str, Container] = {}
        self._staged: set[str] = set()
        self._pulling: set[str] = set()
        self._backoff = Backoff(timers.now_s)
        self._numbers = itertools.count(1)
        self._memory = Memory()
        self._desired: tuple[Module, ...] = ()

    @property
    def memory(self) -> Memory:
        """See `Hands`."""
        return self._memory

    def observe(self, desired: Desired | None) -> Observed:
        """See `Hands`."""
        self._desired = desired.modules if desired else ()
        now = self._timers.now_s()
        seen = tuple(_seen(name, each, now) for name, each in self._containers.items())
        return Observed(seen, frozenset(self._staged))

    def context(self) -> Context:
        """See `Hands`."""
        return Context(
            pulling=frozenset(self._pulling),
            backing_off=self._backoff.waiting(),
            broken=self._backoff.longest(),
        )

    def failures(self, desired: Desired) -> list[Fail]:  # noqa: ARG002  a simulated pull ends well
        """See `Hands`."""
        return []

    def pull_report(self) -> PullReport:
        """See `Hands`: no byte came."""
        return PullReport(received_bytes=0, saved_bytes=0, deltas=0, fallbacks=0)

    def carry_out(self, step: Step) -> bool:
        """See `Hands`."""
        match step:
            case Pull(module):
                self._pull(module.image.digest)
            case Start(module):
                self._start(module)
            case Publish(name):
                self._publish(name)
            case Commit() | Finish() | Fail() | Note() | Forget():
                self._memory = remembering(self._memory, step)
                self._staged &= self._needed()
            case Drain(name):
                self._stop(name, asked=True)
            case Condemn(name):
                self._stop(name, asked=False)
            case Kill(name):
                self._end(name, KILLED)
            case Remove(name, crashed):
                self._remove(name, crashed=crashed)
            case Fetch():
                pass  # no secret is ever lacking
            case _:
                assert_never(step)
        return True

    def _pull(self, digest: str) -> None:
        self._pulling.add(digest)

        def done() -> None:
            self._pulling.discard(digest)
            self._staged.add(digest)
            self._wake()

        self._timers.later(self._draw(self.behaviour.pull_s), done)

    def _start(self, module: Module) -> None:
        name = f"{module.name}-{next(self._numbers)}"
        self._containers[name] = Container(module, "starting", self._timers.now_s())
        image = module.image.name
        if image in self.behaviour.never_ready:
            # The planner looks at the age: it is to be asked when that is beyond what the module may take.
            self._timers.later(module.ready_timeout_s + A_LITTLE_S, self._wake)
        elif image in self.behaviour.crashing:
            self._timers.later(self._draw(self.behaviour.ready_s), lambda: self._end(name, CRASHED))
        else:
            self._timers.later(self._draw(self.behaviour.ready_s), lambda: self._become_ready(name))

    def _become_ready(self, name: str) -> None:
        container = self._containers.get(name)
        if container is not None and container.phase == "starting":
            container.phase, container.since = "ready", self._timers.now_s()
            self._wake()

    def _publish(self, name: str) -> None:
        module = self._containers[name].module.name
        for other, container in self._containers.items():
            if container.module.name == module:
                container.published = other == name

    def _stop(self, name: str, *, asked: bool) -> None:
        container = self._containers[name]
        container.phase, container.since, container.asked_to_stop = "draining", self._timers.now_s(), asked
        self._timers.later(self._draw(self.behaviour.stop_s), lambda: self._end(name, 0))

    def _end(self, name: str, code: int) -> None:
        container = self._containers.get(name)
        if container is None or container.phase in {"exited", "lost"}:
            return
        container.phase = "lost" if container.asked_to_stop else "exited"
        container.since, container.exit_code = self._timers.now_s(), code
        self._wake()

    def _remove(self, name: str, *, crashed: bool) -> None:
        module = self._containers.pop(name).module
        if crashed:
            self._timers.later(self._backoff.failed(spec_digest(module)) + A_LITTLE_S, self._wake)

    def _needed(self) -> set[str]:
        """Return the images to keep: of what runs, of what last passed, and of what is desired."""
        running = (each.module for each in self._containers.values())
        modules = [*running, *self._memory.committed.values(), *self._desired]
        return {module.image.digest for module in modules}

    def _draw(self, span: Span) -> float:
        return self._chance.uniform(*span)


def _seen(name: str, container: Container, now: float) -> ContainerSeen:
    age_s = now - container.since
    draining_s = age_s if container.phase == "draining" else 0.0
    return ContainerSeen(
        name, container.module, container.phase, age_s, draining_s, container.published, container.exit_code
    )
