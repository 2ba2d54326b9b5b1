"""Looks at the containers of a device, listens to them, and asks them how they are."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime

import msgspec

from agent.drivers.port import ContainerStatus, DriverError
from agent.endpoints.listeners import EndpointError
from agent.endpoints.module_api import Hooks, ModuleApi
from agent.reconcile.backoff import Backoff
from agent.reconcile.device import Device
from agent.reconcile.holding import Holding
from agent.reconcile.probes import Asked, Probes, Question
from agent.reconcile.records import Record
from agent.reconcile.state import ContainerSeen, Memory, Phase, spec_digest, wanted_modules
from contract.desired import Desired, Module

log = logging.getLogger(__name__)

HEALTHY_AFTER_S = 60.0
CONDEMNED = "condemned"


class Watch:
    """Keeps in memory only what a restart may lose: since when a container is how it is, and the probes.

    ``held`` says by module why it may not be changed now, ``serving`` are modules that somebody serves,
    ``alone`` those whose ports cannot be had beside the container that has them; all as of the last look.
    ``wake`` is called, from any thread, when there is something new to see.
    """

    def __init__(
        self,
        device: Device,
        hooks: Hooks,
        backoff: Backoff,
        *,
        monotonic: Callable[[], float],
        wake: Callable[[], None],
        clock: Callable[[], datetime | None],
    ) -> None:
        self._device, self._backoff = device, backoff
        self._monotonic, self._wake = monotonic, wake
        self._hooks = replace(hooks, ready=self._on_word, defer=self._on_deferral)
        self._apis: dict[str, ModuleApi] = {}
        self._unserved: set[str] = set()
        self._since: dict[tuple[str, Phase], float] = {}
        self._probes = Probes(self._on_ready, wake, self._succeeds, monotonic=monotonic)
        self._holding = Holding(monotonic=monotonic, clock=clock)
        self.serving: frozenset[str] = frozenset()
        self.held: dict[str, str] = {}
        self.alone: frozenset[str] = frozenset()
        self._kept_ports: set[str] = set()

    def close(self) -> None:
        """Listen and ask no more."""
        self._probes.close()
        for api in self._apis.values():
            api.close()

    def containers(self, desired: Desired | None, memory: Memory) -> tuple[ContainerSeen, ...]:
        """Return the containers as they are now, and serve the agent socket of each that lives."""
        wanted = wanted_modules(desired)
        statuses = {status.id: status for status in self._device.driver.observe()}
        self._device.driver.balance(statuses.values())
        records = self._device.containers.all()
        seen = tuple(self._seen(_as_wanted(record, wanted), statuses.get(record.id)) for record in records)
        self.serving = frozenset(c.module.name for c in seen if c.phase == "ready")
        for container in seen:
            if container.phase in {"starting", "ready", "draining"}:
                self._serve_if_it_goes(container.id)
        self.alone = frozenset(record.module.name for record in records if self._keeps(record, statuses))
        self._probes.watch(self._asked(seen))
        self.held = self._holding.held(wanted, memory.committed, seen, self._device.containers.run_folder)
        return seen

    def unhealthy(self) -> frozenset[str]:
        """Return the ids of containers that do not live."""
        return self._probes.unhealthy()

    def forget(self, container_id: str) -> None:
        """A container is gone."""
        self._unserved.discard(container_id)
        api = self._apis.pop(container_id, None)
        if api is not None:
            api.close()
        self._kept_ports.discard(container_id)
        for key in [key for key in self._since if key[0] == container_id]:
            del self._since[key]

    def _keeps(self, record: Record, statuses: Mapping[str, ContainerStatus]) -> bool:
        """Does a container hold ports that this life of the agent cannot have back?"""
        status, ports = statuses.get(record.id), record.module.asks.ports
        if status is None or status.pid is None or not ports:
            return False
        if record.id not in self._kept_ports and not self._device.ports.take_back(
            record.module.name, ports, status.pid
        ):
            self._kept_ports.add(record.id)
        return record.id in self._kept_ports

    def _seen(self, record: Record, status: ContainerStatus | None) -> ContainerSeen:
        containers, phase = self._device.containers, self._phase(record, status)
        now = self._monotonic()
        since = self._since.setdefault((record.id, phase), now)
        draining_s = now - since if phase == "draining" else 0.0
        if phase == "ready" and now - since > HEALTHY_AFTER_S:
            self._backoff.healthy(spec_digest(record.module))
        asked_to = containers.marked(record.id, "draining") and not containers.marked(record.id, CONDEMNED)
        if phase == "exited" and asked_to:
            phase = "lost"  # it stopped because it was asked to: no crash
        exit_code = status.exit_code if status is not None else None
        starved = status is not None and status.out_of_memory
        published = self._device.listeners.published(record.module.name) == record.listener
        return ContainerSeen(
            record.id, record.module, phase, now - since, draining_s, published, exit_code, starved
        )

    def _phase(self, record: Record, status: ContainerStatus | None) -> Phase:
        containers = self._device.containers
        if status is not None and status.running:
            if containers.marked(record.id, "draining"):
                return "draining"
            return "ready" if containers.marked(record.id, "ready") else "starting"
        was_started = containers.marked(record.id, "started") and containers.of_this_boot(record)
        return "exited" if was_started else "lost"

    def serve(self, container_id: str) -> None:
        """Serve a container's agent socket."""
        if container_id not in self._apis:
            path = self._device.containers.run_folder(container_id) / "agent.sock"
            self._apis[container_id] = ModuleApi(container_id, path, self._hooks)

    def _serve_if_it_goes(self, container_id: str) -> None:
        """Serve it now, or in a later round: a disk that takes no socket must not stop this one."""
        try:
            self.serve(container_id)
        except EndpointError as error:
            if container_id not in self._unserved:
                log.warning("container %s cannot speak to its agent for now: %s", container_id, error)
            self._unserved.add(container_id)
        else:
            self._unserved.discard(container_id)

    def _asked(self, seen: Iterable[ContainerSeen]) -> dict[str, Asked]:
        """Return what to ask of which container."""
        found: dict[str, Asked] = {}
        alive = [c for c in seen if c.alive]
        for c in alive:
            alone = sum(other.module.name == c.module.name for other in alive) == 1
            question: Question = "alive" if c.phase == "ready" else "ready"
            probe = c.module.life.liveness if question == "alive" else c.module.life.readiness
            if probe is not None and (alone or not probe.http):
                record, containers = self._device.containers.get(c.id), self._device.containers
                listener = self._device.listeners.folder / record.listener
                found[c.id] = Asked(question, probe, listener, containers.run_folder(c.id))
        return found

    def _succeeds(self, container_id: str, args: tuple[str, ...], timeout_s: float) -> bool:
        """Does a program in a container end well? From the probes' thread."""
        try:
            done = self._device.driver.execute(container_id, args, timeout_s)
        except DriverError as error:
            log.info("a probe of container %s could not run: %s", container_id, error)
            return False
        return done.exit_code == 0

    def _on_word(self, container_id: str) -> None:
        """A module says that it is ready: that counts where nobody is to ask it."""
        if self._device.containers.get(container_id).module.life.readiness is None:
            self._on_ready(container_id)

    def _on_deferral(self, container_id: str, seconds: float) -> float:
        module = self._device.containers.get(container_id).module
        desired = self._device.records.load_desired()
        granted = self._holding.defer(wanted_modules(desired).get(module.name, module), seconds)
        self._wake()
        return granted

    def _on_ready(self, container_id: str) -> None:
        self._device.containers.mark(container_id, "ready")
        self._wake()


def _as_wanted(record: Record, wanted: dict[str, Module]) -> Record:
    """Return a record with how its module is to live now: that changes without another container."""
    module = wanted.get(record.module.name)
    if module is None or spec_digest(module) != spec_digest(record.module):
        return record
    return msgspec.structs.replace(record, module=module)
