"""Wires the agent: builds every adapter, hands them to the core, and runs until told to stop."""

import logging
import os
import threading
import time
from datetime import UTC, datetime

from agent.artifacts.delta import Savings
from agent.artifacts.fetch import HttpsRegistry
from agent.artifacts.flow import Flow
from agent.artifacts.places import registry_of
from agent.artifacts.room import Reserve
from agent.artifacts.store import ContentStore
from agent.drivers.choose import choose_driver
from agent.endpoints.listeners import Listeners
from agent.endpoints.module_api import Hooks
from agent.identity.store import Identity, load
from agent.lock import lock_state
from agent.network.line import open_network
from agent.outbox.sender import Sender
from agent.outbox.sqlite import SqliteOutbox
from agent.reconcile.executor import Device, Executor
from agent.reconcile.loop import Reconciler
from agent.reconcile.records import AgentRecords, ContainerRecords
from agent.settings import Settings
from agent.transport.mqtt import MqttTransport
from agent.transport.port import Transport
from agent.trust.acceptance import ALREADY_HELD, Expected, judge
from agent.trust.ed25519 import verify
from agent.version import VERSION
from contract.desired import Desired
from contract.messages import Ack, Hello, Refusal, Reported

log = logging.getLogger(__name__)


class Agent:
    """One device's agent, wired; also what its transport tells of what arrives."""

    def __init__(self, settings: Settings) -> None:
        state = settings.state_dir
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = lock_state(state)
        self._identity: Identity = load(settings.identity_dir)
        facts = self._identity.facts
        self._driver, self.driver_choice = choose_driver(settings.driver, state)
        self._outbox = SqliteOutbox(state / "outbox.db", max_bytes=settings.outbox.max_bytes)
        tls = self._identity.tls_context()
        network = open_network(settings.proxy)
        self._transport: Transport = MqttTransport(
            facts.device, facts.mqtt_host, facts.mqtt_port, tls, network
        )
        self._sender = Sender(
            self._outbox,
            self._transport,
            batch_samples=settings.outbox.batch_samples,
            resend_after_s=settings.outbox.resend_after_s,
        )
        savings = Savings()
        records = AgentRecords(state / "desired")
        device = Device(
            driver=self._driver,
            store=ContentStore(
                state / "content", Reserve(settings.disk.reserve_bytes, settings.disk.reserve_percent)
            ),
            registry=registry_of(
                HttpsRegistry(facts.hub, tls, network=network), settings.sources, savings, network
            ),
            listeners=Listeners(state / "run"),
            containers=ContainerRecords(state / "containers"),
            records=records,
            flow=Flow(settings.pull.rules()),
            savings=savings,
        )
        hooks = Hooks(outbox=self._outbox, ready=lambda _: None, stored=self._sender.wake)
        self._executor = Executor(device, hooks, monotonic=time.monotonic, wake=self._wake)
        self._reconciler = Reconciler(
            self._executor,
            records,
            self._outbox,
            interval_s=settings.reconcile_interval_s,
            report_interval_s=settings.report_interval_s,
            report=self._send_report,
        )

    def run(self, stopping: threading.Event) -> None:
        """Work until ``stopping`` is set. Containers run on afterwards."""
        log.info("device %s, driver: %s", self._identity.facts.device, self.driver_choice)
        self._reconciler.start()
        self._sender.start()
        self._transport.start(self)
        stopping.wait()
        self.close()

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
        self._reconciler.stop()
        self._sender.stop()
        self._transport.stop()
        self._executor.close()
        self._outbox.close()
        os.close(self._lock)

    def connected(self) -> None:
        """Say hello with the generation held, report, and send what waits."""
        desired = self._reconciler.desired
        self._transport.send_hello(
            Hello(
                generation=desired.generation if desired else 0,
                agent_version=VERSION,
                driver=self._driver.name,
            )
        )
        self._reconciler.report_again()
        self._sender.connected()

    def desired_arrived(self, envelope: bytes) -> None:
        """Judge the envelope; accepted, it is persisted and acted on, else reported."""
        facts, held = self._identity.facts, self._reconciler.desired
        expected = Expected(
            device=facts.device,
            workspace=facts.workspace,
            floor=held.generation if held else 0,
            keys={keyid: bytes.fromhex(key) for keyid, key in facts.desired_keys.items()},
            now=datetime.now(UTC),
        )
        verdict = judge(envelope, expected, verify)
        if isinstance(verdict, Desired):
            log.info("accepted generation %d (%s)", verdict.generation, verdict.rollout)
            self._reconciler.accept(verdict)
        elif verdict.code == ALREADY_HELD:
            log.debug("the hub repeated generation %d", expected.floor)
        else:
            log.error("refused a desired document: %s [%s]", verdict.reason, verdict.code)
            self._reconciler.refuse(Refusal(code=verdict.code, reason=verdict.reason))

    def ack_arrived(self, ack: Ack) -> None:
        """The hub stored samples: they may leave the outbox."""
        self._sender.acknowledged(ack)

    def _send_report(self, reported: Reported) -> None:
        self._transport.send_reported(reported)

    def _wake(self) -> None:
        self._reconciler.wake()
