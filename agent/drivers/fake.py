"""Containers in memory that do what a test tells them; ships with the agent.

`FakeMachine` is what outlives an agent: give the same one to a new `FakeDriver` to restart it.
"""

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from agent.drivers.port import (
    ContainerRunningError,
    ContainerSpec,
    ContainerStatus,
    Driver,
    DriverError,
    Executed,
    InvalidContainerError,
    stopped,
)


@dataclass(frozen=True)
class Behaviour:
    """What a container does: fail to start with these words, exit at once, ignore SIGTERM, run programs."""

    refuses: str = ""
    exits_with: int | None = None
    ignores_term: bool = False
    executes: Callable[[tuple[str, ...]], Executed] = lambda _: Executed(0, b"")


@dataclass
class FakeContainer:
    """A container in memory; ``listeners`` are its own copies of the listening sockets while it runs."""

    spec: ContainerSpec
    behaviour: Behaviour
    pid: int
    listeners: dict[str, int]
    exit_code: int | None = None
    out_of_memory: bool = False
    signals: list[int] = field(default_factory=list)

    @property
    def running(self) -> bool:
        """Whether it holds its listening sockets still."""
        return bool(self.listeners)


class FakeMachine:
    """All containers, by id. ``behaviour`` says, from its spec, how each one started behaves."""

    def __init__(self, behaviour: Callable[[ContainerSpec], Behaviour] = lambda _: Behaviour()) -> None:
        self.behaviour = behaviour
        self.containers: dict[str, FakeContainer] = {}
        self._next_pid = 1000

    def start(self, spec: ContainerSpec, listeners: Mapping[str, int]) -> None:
        """Start a container, or raise `DriverError` if it is to refuse."""
        behaviour = self.behaviour(spec)
        if behaviour.refuses:
            raise DriverError(behaviour.refuses, where=f"container {spec.id}", fix="Change its behaviour.")
        self._next_pid += 1
        held = {name: os.dup(descriptor) for name, descriptor in listeners.items()}
        self.containers[spec.id] = FakeContainer(spec, behaviour, self._next_pid, held)
        if behaviour.exits_with is not None:
            self.exit(spec.id, behaviour.exits_with)

    def exit(self, container_id: str, code: int) -> None:
        """Let a container end with ``code``."""
        container = self.containers[container_id]
        if container.running:
            for descriptor in container.listeners.values():
                os.close(descriptor)
            container.listeners, container.exit_code = {}, code

    def starve(self, container_id: str) -> None:
        """Let a container be out of memory: half alive, until it is killed."""
        self.containers[container_id].out_of_memory = True


class FakeDriver(Driver):
    """Drives a `FakeMachine`. Programs do not run: it checks only that the layers exist."""

    name: ClassVar[str] = "fake"

    def __init__(self, machine: FakeMachine) -> None:
        self._machine = machine

    def _start(self, spec: ContainerSpec, listeners: Mapping[str, int]) -> None:
        if spec.id in self._machine.containers:
            raise ContainerRunningError(
                "it exists already", where=f"container {spec.id}", fix="Remove it, or use another id."
            )
        if not any(layer.joinpath(spec.args[0].lstrip("/")).exists() for layer in spec.layers):
            raise InvalidContainerError(
                "its image has no such program", where=f"container {spec.id}", fix="Correct the entry point."
            )
        self._machine.start(spec, listeners)

    def _observe(self) -> tuple[ContainerStatus, ...]:
        return tuple(
            ContainerStatus(name, c.running, c.pid if c.running else None, c.exit_code, c.out_of_memory)
            for name, c in list(self._machine.containers.items())
        )

    def _signal(self, container_id: str, signal_number: int) -> None:
        container = self._machine.containers.get(container_id)
        if container is None or not container.running:
            return
        container.signals.append(signal_number)
        if signal_number == signal.SIGKILL:
            self._machine.exit(container_id, 128 + signal_number)
        elif signal_number == signal.SIGTERM and not container.behaviour.ignores_term:
            self._machine.exit(container_id, 0)

    def _remove(self, container_id: str) -> None:
        container = self._machine.containers.get(container_id)
        if container is not None and container.running:
            raise ContainerRunningError(
                "it runs", where=f"container {container_id}", fix="Stop it by a signal, then remove it."
            )
        self._machine.containers.pop(container_id, None)

    def _execute(
        self,
        container_id: str,
        args: tuple[str, ...],
        timeout_s: float,  # noqa: ARG002  nothing runs
    ) -> Executed:
        container = self._machine.containers.get(container_id)
        if container is None or not container.running:
            raise stopped(container_id)
        return container.behaviour.executes(args)
