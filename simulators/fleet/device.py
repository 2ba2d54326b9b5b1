"""One simulated device: the agent's core over a simulated machine, driven by an event loop.

It does what `agent.app.Agent` does of it, in the same order, without its threads and its disk: a device whose
simulator is started again holds no document, and the hub sends it the newest.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Final

from agent.clock import EPOCH
from agent.identity.store import DeviceFacts
from agent.reconcile.loop import MAX_ROUNDS_IN_A_ROW, Reconciler
from agent.transport.port import Transport
from agent.trust.acceptance import ALREADY_HELD
from agent.trust.desk import Desk
from agent.trust.floor import TimeFloor
from agent.version import VERSION
from contract.desired import Desired
from contract.messages import Ack, Hello, Refusal, Reported
from simulators.fleet.behaviour import Behaviour
from simulators.fleet.journal import Journal
from simulators.fleet.machine import SimulatedMachine
from simulators.fleet.memory import EmptyOutbox, MemoryRecords
from simulators.fleet.timers import Timers

log = logging.getLogger(__name__)

DRIVER: Final = "simulated"


def _utc_now() -> datetime:
    return datetime.now(UTC)


class SimulatedDevice:
    """Implements `agent.transport.port.Events`. All of it is called from one thread."""

    def __init__(
        self,
        facts: DeviceFacts,
        transport: Transport,
        timers: Timers,
        behaviour: Behaviour,
        chance: Random,
        journal: Journal,
        *,
        report_interval_s: float = 60.0,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._transport, self._timers, self._journal = transport, timers, journal
        self._report_interval_s = report_interval_s
        self._records = MemoryRecords()
        self._soon = False
        self._stopped = False
        machine = SimulatedMachine(behaviour, timers, chance, self._wake)
        self._reconciler = Reconciler(
            machine,
            self._records,
            EmptyOutbox(),
            interval_s=report_interval_s,
            report_interval_s=report_interval_s,
            report=self._report,
            monotonic=timers.now_s,
            now=now,
        )
        floor = TimeFloor(None, EPOCH, steady_us=lambda: int(timers.now_s() * 1e6))
        self._desk = Desk(facts, self._records.load_desired, self._reconciler.accept, floor, now=now)

    def start(self) -> None:
        """Connect, and look after itself from now on."""
        self._transport.start(self)
        self._timers.later(self._report_interval_s, self._tick)

    def stop(self) -> None:
        """Say goodbye."""
        self._stopped = True
        self._transport.stop()

    def connected(self) -> None:
        """Say hello with the generation held, and report."""
        held = self._reconciler.desired
        self._transport.send_hello(
            Hello(generation=held.generation if held else 0, agent_version=VERSION, driver=DRIVER)
        )
        self._reconciler.report_again()
        self._wake()

    def desired_arrived(self, envelope: bytes) -> None:
        """Judge an envelope; accepted, it is acted on, else reported."""
        verdict = self._desk.offer(envelope)
        if isinstance(verdict, Desired):
            self._journal.accepted(verdict.rollout, self._timers.now_s())
        elif verdict.code == ALREADY_HELD:
            return
        else:
            self._journal.refused[verdict.code] += 1
            self._reconciler.refuse(Refusal(code=verdict.code, reason=verdict.reason))
        self._wake()

    def ack_arrived(self, ack: Ack) -> None:
        """Nothing waits for it: these devices send no samples."""

    def _report(self, reported: Reported) -> None:
        if self._transport.is_connected():
            failed = any(module.state in {"failed", "rolled_back"} for module in reported.modules)
            self._journal.reported(self._timers.now_s(), converged=reported.converged, failed=failed)
        self._transport.send_reported(reported)

    def _wake(self) -> None:
        if not self._soon:
            self._soon = True
            self._timers.later(0, self._rounds)

    def _rounds(self) -> None:
        self._soon = False
        if self._stopped:
            return
        for _ in range(MAX_ROUNDS_IN_A_ROW):
            if not self._reconciler.round():
                return

    def _tick(self) -> None:
        """Report now and then, as the agent does; what else changes wakes it."""
        if not self._stopped:
            self._wake()
            self._timers.later(self._report_interval_s, self._tick)
