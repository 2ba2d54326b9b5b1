"""Wires the agent: builds every adapter, hands them to the core, and runs until told to stop."""

import logging
import os
import signal
import threading
import time
from datetime import UTC, datetime

from agent.clock import ClockSettings, WallClock, microseconds
from agent.collecting import Collector
from agent.container_logs.rotation import Rotation
from agent.drivers.choose import choose_driver
from agent.endpoints.control import Control, Doors
from agent.endpoints.module_api import Hooks
from agent.identity.renewal import Renewal
from agent.identity.store import Identity, load
from agent.lock import lock_state
from agent.metrics.collect import Facts
from agent.metrics.server import MetricsSocket, resident_bytes
from agent.neighbours.opening import open_serving
from agent.network.line import Network, open_network
from agent.policy.file import PolicyFile
from agent.private import make_private
from agent.reconcile.executor import Executor
from agent.reconcile.loop import Reconciler
from agent.reconcile.records import AgentRecords
from agent.selfupdate.launch import Launch
from agent.selfupdate.updater import SelfUpdate, Sight
from agent.service import ServiceManager
from agent.settings import Settings
from agent.settling import settle
from agent.transport.mqtt import MqttTransport
from agent.transport.port import Transport
from agent.trust.acceptance import ALREADY_HELD, SIGNED_FOR_US
from agent.trust.again import Again
from agent.trust.desk import Desk, open_floor
from agent.version import VERSION
from agent.wiring import device_of, outbox_of
from contract.desired import Desired
from contract.messages import Ack, AgentReport, Hello, Reported

log = logging.getLogger(__name__)

# The kernel may hand a signal to any thread; Python's handler runs in the first one, once that looks up.
LOOK_S = 0.5

CLOSE_S = 60
LOCK_WAIT_S = 1.0  # `headland-agent apply` holds the lock for a moment


class Agent:
    """One device's agent, wired; also what its transport tells of what arrives."""

    def __init__(
        self, settings: Settings, launch: Launch | None = None, collector: Collector | None = None
    ) -> None:
        state = settings.state_dir
        self._state_dir, self._settings = state, settings
        state.mkdir(parents=True, exist_ok=True, mode=0o711)
        self._lock = lock_state(state, wait_s=LOCK_WAIT_S)
        self._identity: Identity = load(settings.identity_dir)
        make_private(state)
        facts = self._identity.facts
        self._driver, self.driver_choice = choose_driver(
            settings.driver, state, settings.docker.socket, settings.user_namespaces
        )
        tls, network = self._identity.tls_context(), open_network(settings.proxy)
        self._transport: Transport = MqttTransport(
            facts.device, facts.mqtt_host, facts.mqtt_port, tls, network, keepalive_s=settings.keepalive_s
        )
        self._clock = WallClock(known_us=microseconds(self._identity.begins_at))
        self._clock_settings = ClockSettings(self._clock.set_by_s, monotonic=time.monotonic)
        self._outbox, self._sender = outbox_of(settings, self._transport, self._clock)
        policy = PolicyFile(settings.policy_path, self._policy_changed)
        self._time_floor = open_floor(
            state / "desired", self._identity, AgentRecords(state / "desired").load_desired()
        )
        clock = self._time_floor.clock
        device = device_of(settings, self._identity, self._driver, policy, tls, network, clock)
        self._serving = open_serving(
            settings.neighbours, self._identity, device.store, state / "content", device.savings
        )
        records = device.records
        hooks = Hooks(
            outbox=self._outbox,
            ready=lambda _: None,
            defer=lambda _container, _seconds: 0.0,
            stored=self._sender.wake,
        )
        self._executor = Executor(device, hooks, monotonic=time.monotonic, wake=self._wake, clock=clock)
        self._reported: Reported | None = None
        self._reconciler = Reconciler(
            self._executor,
            records,
            self._outbox,
            interval_s=settings.reconcile_interval_s,
            report_interval_s=settings.report_interval_s,
            report=self._send_report,
            agent=self._agent_report,
        )
        self._updates = self._self_update(launch)
        self._desk = Desk(
            facts, records.load_desired, self._reconciler.accept, self._time_floor, policy.refuses
        )
        self._again = Again(self._judge)
        self._renewal = self._renewing(network)
        self._doors = Doors(self._desk.offer, records.load_desired, lambda: self._reported)
        self._started_at_s = time.time()
        self._collector = collector or Collector()
        self._rotation = Rotation(state / "containers", state / "logs", settings.logs)

    def run(self, stopping: threading.Event, service: ServiceManager) -> bool:
        """Work until ``stopping`` is set, and let ``service`` know. Containers run on afterwards.

        Return whether the launcher is to choose the agent's version anew, in this process.
        """
        # First: whoever sees the daemon's first line, or that it is ready, may speak to it.
        control = Control(self._state_dir, self._doors)
        scrapes = MetricsSocket(self._state_dir, self._facts)
        log.info("device %s, driver: %s", self._identity.facts.device, self.driver_choice)
        self._rotation.start()
        self._reconciler.start()
        self._sender.start()
        self._transport.start(self)
        self._serving.start()
        self._renewal.start()
        facts = self._identity.facts
        service.ready(f"{facts.device}, {self.driver_choice}", lambda: self._reconciler.stalled_s)
        settle()
        self._collector.begin()
        again = False
        while not again and not stopping.wait(LOOK_S):
            self._look_at_clock()
            again = self._updates.look()
            self._say_if_changed()
            self._collector.look()
        if again:
            signal.alarm(CLOSE_S)  # what hangs now would never come to the next version
            service.passing_on()
        else:
            service.stopping()
        scrapes.close()
        control.close()
        self._rotation.stop()
        self.close()
        return again and not stopping.is_set()

    def _self_update(self, launch: Launch | None) -> SelfUpdate:
        sight = Sight(
            desired=lambda: self._reconciler.desired,
            reported=lambda: self._reported,
            connected=self._transport.is_connected,
            quiet=lambda: self._reconciler.quiet,
        )
        return SelfUpdate(launch, self._settings.state_dir, self._settings.self_update, self._executor, sight)

    def _renewing(self, network: Network) -> Renewal:
        return Renewal(
            self._identity,
            network,
            now=lambda: max(datetime.now(UTC), self._time_floor.now()),
            connected=self._transport.is_connected,
            renewed=self._transport.connect_anew,
        )

    def _agent_report(self) -> AgentReport:
        return self._updates.report()

    def _say_if_changed(self) -> None:
        """A report goes out with the next round, and does not wait for its timer."""
        if self._reported is not None and self._reported.agent != self._updates.report():
            self._reconciler.wake()

    def retire(self, *, timeout_s: float) -> bool:
        """Stop and remove every container; return whether none is left in time.

        The desired document stays: the next `run` starts what it says again.
        """
        self._reconciler.desire_nothing()
        self._sender.start()
        self._transport.start(self)
        deadline = time.monotonic() + timeout_s
        try:
            while time.monotonic() < deadline:
                if not self._reconciler.round() and not self._executor.observe(None).containers:
                    return True
                time.sleep(0.05)
            return False
        finally:
            self._sender.stop()
            self._transport.stop()
            self._executor.close()

    def close(self) -> None:
        """Stop all threads and free all resources."""
        self._again.close()
        self._renewal.stop()
        self._serving.close()
        self._reconciler.stop()
        self._sender.stop()
        self._transport.stop()
        self._executor.close()
        self._outbox.close()
        os.close(self._lock)

    def _look_at_clock(self) -> None:
        """Where the clock was set, what was refused for its time may be accepted now."""
        self._time_floor.keep()
        setting = self._clock_settings.look()
        if setting is None:
            return
        often = f", {setting.times} times in all" if setting.times > 1 else ""
        log.warning("the clock was set by %+.0f s%s", setting.seconds, often)
        self._transport.retry_now()
        self._reconciler.wake()
        if self._transport.is_connected():
            # Nothing that was sent is lost by it: it is not sent again.
            self._say_hello()
            self._reconciler.report_again()

    def connected(self) -> None:
        """Say hello with the generation held, report, and send what waits."""
        self._say_hello()
        self._reconciler.report_again()
        self._sender.connected()

    def _policy_changed(self) -> None:
        """Let the hub send again what was refused before."""
        if self._transport.is_connected():
            self._say_hello()

    def _say_hello(self) -> None:
        """An agent on trial says that it holds no generation: so the hub answers, whatever it holds."""
        desired = self._reconciler.desired if not self._updates.on_trial else None
        self._transport.send_hello(
            Hello(
                generation=desired.generation if desired else 0,
                agent_version=VERSION,
                driver=self._driver.name,
            )
        )

    def desired_arrived(self, envelope: bytes) -> None:
        """Judge the envelope; accepted, it is persisted and acted on, else reported."""
        self._again.offer(envelope)

    def _judge(self, envelope: bytes) -> None:
        verdict = self._desk.offer(envelope)
        if isinstance(verdict, Desired) or verdict.code in SIGNED_FOR_US:
            self._updates.heard()
        if isinstance(verdict, Desired):
            return
        if verdict.code == ALREADY_HELD:
            log.debug("the hub repeated the generation in force")
        else:
            log.error("refused a desired document: %s [%s]", verdict.reason, verdict.code)
            self._reconciler.refuse(verdict.told)

    def ack_arrived(self, ack: Ack) -> None:
        """The hub stored samples: they may leave the outbox."""
        self._sender.acknowledged(ack)

    def _facts(self) -> Facts:
        room = os.statvfs(self._state_dir)
        return Facts(
            version=VERSION,
            driver=self._driver.name,
            started_at_s=self._started_at_s + self._clock.set_by_s(),  # by the clock as it is now
            resident_bytes=resident_bytes(),
            threads=threading.active_count(),
            connected=self._transport.is_connected(),
            desired=self._reconciler.desired,
            reported=self._reported,
            crashes=self._executor.crashes.copy(),
            outbox=self._reconciler.outbox_report(),
            pulls=self._executor.pull_report(),
            kept_bytes=self._serving.kept_bytes(),
            outbox_bytes=sum(path.stat().st_size for path in self._state_dir.glob("outbox.db*")),
            outbox_max_bytes=self._settings.outbox.max_bytes,
            stalled_s=self._reconciler.stalled_s,
            free_bytes=room.f_bavail * room.f_frsize,
        )

    def _send_report(self, reported: Reported) -> None:
        self._reported = reported
        self._transport.send_reported(reported)

    def _wake(self) -> None:
        self._reconciler.wake()
