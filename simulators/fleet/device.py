"""One simulated device: the agent's core over a simulated machine, driven by an event loop.

It does what `agent.app.Agent` does of it, in the same order, without its threads and its disk: a device whose
simulator is started again holds no document, and the hub sends it the newest.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Final

from agent.clock import EPOCH
from agent.identity.store import DeviceFacts
from agent.outbox.sender import Sender
from agent.reconcile.loop import MAX_ROUNDS_IN_A_ROW, Reconciler
from agent.settings import Outbox as OutboxSettings
from agent.transport.port import Transport
from agent.trust.acceptance import ALREADY_HELD
from agent.trust.desk import Desk
from agent.trust.floor import TimeFloor
from agent.version import VERSION
from contract.desired import Desired
from contract.messages import Ack, Hello, OutboxReport, Reported
from simulators.fleet.behaviour import Behaviour
from simulators.fleet.journal import Journal
from simulators.fleet.machine import SimulatedMachine
from simulators.fleet.memory import MemoryOutbox, MemoryRecords
from simulators.fleet.sensing import Sensing, Sensor
from simulators.fleet.timers import Timers

log = logging.getLogger(__name__)

DRIVER: Final = "simulated"
OUTBOX: Final = OutboxSettings()
"""As the agent sends where nothing else is set."""


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
        sensors: Sequence[Sensor] = (),
        report_interval_s: float = 60.0,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._transport, self._timers, self._journal = transport, timers, journal
        self._report_interval_s = report_interval_s
        self._records = MemoryRecords()
        self._soon = self._sending = self._looking = False
        self._stopped = False
        self._outbox = MemoryOutbox(f"{chance.getrandbits(64):016x}")
        self._sender = Sender(
            self._outbox,
            transport,
            batch_samples=OUTBOX.batch_samples,
            resend_after_s=OUTBOX.resend_after_s,
            monotonic=timers.now_s,
        )
        self._sensing = [
            Sensing(sensor, self._outbox, timers, chance, now=now, stored=self._send_soon)
            for sensor in sensors
        ]
        machine = SimulatedMachine(behaviour, timers, chance, self._wake)
        self._reconciler = Reconciler(
            machine,
            self._records,
            self._outbox,
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
        for each in self._sensing:
            each.start()

    def quiet(self) -> None:
        """Take no more samples; what waits is sent."""
        for each in self._sensing:
            each.stop()

    @property
    def taken(self) -> int:
        """How many samples its sensors took."""
        return sum(each.taken for each in self._sensing)

    def outbox(self) -> OutboxReport:
        """Return what waits to be sent, and what was dropped."""
        return self._outbox.report()

    def stop(self) -> None:
        """Say goodbye."""
        self._stopped = True
        self.quiet()
        self._transport.stop()

    def connected(self) -> None:
        """Say hello with the generation held, and report."""
        held = self._reconciler.desired
        self._transport.send_hello(
            Hello(generation=held.generation if held else 0, agent_version=VERSION, driver=DRIVER)
        )
        self._reconciler.report_again()
        self._sender.connected()
        self._wake()
        self._send_soon()

    def desired_arrived(self, envelope: bytes) -> None:
        """Judge an envelope; accepted, it is acted on, else reported."""
        verdict = self._desk.offer(envelope)
        if isinstance(verdict, Desired):
            self._journal.accepted(verdict.rollout, self._timers.now_s())
        elif verdict.code == ALREADY_HELD:
            return
        else:
            self._journal.refused[verdict.code] += 1
            self._reconciler.refuse(verdict.told)
        self._wake()

    def ack_arrived(self, ack: Ack) -> None:
        """The hub stored samples: they may leave the outbox, and others go."""
        self._journal.acknowledged(self._timers.now_s())
        self._sender.acknowledged(ack)
        self._send_soon()

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

    def _send_soon(self) -> None:
        if not self._sending:
            self._sending = True
            self._timers.later(0, self._send)

    def _send(self) -> None:
        """Send what may go now; while anything waits, look again as the agent's thread does."""
        self._sending = False
        if self._stopped or not self._transport.is_connected() or not self._outbox.report().pending:
            return
        wait_s = self._sender.send_some()
        if not self._looking:
            self._looking = True
            self._timers.later(wait_s, self._look)

    def _look(self) -> None:
        self._looking = False
        self._send_soon()

    def _tick(self) -> None:
        """Report now and then, as the agent does; what else changes wakes it."""
        if not self._stopped:
            self._wake()
            self._timers.later(self._report_interval_s, self._tick)
