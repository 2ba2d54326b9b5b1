"""A device that measures and runs nothing: the agent's own outbox, sender and transport."""

import hashlib
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from agent.identity.store import Identity, load
from agent.outbox.sender import Sender
from agent.outbox.sqlite import SqliteOutbox
from agent.transport.mqtt import MqttTransport
from agent.trust.acceptance import Expected, judge
from agent.trust.ed25519 import verify
from contract.desired import Desired
from contract.messages import Ack, Hello

STREAM = "readings"
MAX_OUTBOX_BYTES = 64 * 1024 * 1024


class Meter:
    """Samples are 1, 2, 3, ...; a sample's sequence is its value. Its own disk is never cut."""

    def __init__(self, state_dir: Path) -> None:
        self._identity: Identity = load(state_dir / "identity")
        self._outbox = SqliteOutbox(state_dir / "outbox.db", max_bytes=MAX_OUTBOX_BYTES)
        self._lock = threading.Lock()
        self.taken = self.acknowledged = self.generation = 0
        self.faults: list[str] = []
        self._documents: dict[int, str] = {}
        self._connect()

    @property
    def name(self) -> str:
        """Its device id."""
        return self._identity.facts.device

    def standing(self) -> str:
        """Say where its samples are, for whoever wonders why none are acknowledged."""
        mark, connected = self._outbox.mark(STREAM), self._transport.is_connected()
        return f"connected: {connected}, taken {self.taken}, acknowledged up to {mark}"

    def measure(self, samples: int) -> None:
        """Take the next samples and send them once there is a hub."""
        first, now_us = self.taken + 1, time.time_ns() // 1000
        bodies = tuple(msgspec.Raw(str(first + i).encode()) for i in range(samples))
        self._outbox.put(STREAM, "meter", first, (now_us,) * samples, bodies)
        self.taken += samples
        self._sender.wake()

    def restart(self) -> None:
        """Start anew, as the device would after the same power cut: at once, not after a back-off."""
        self._disconnect()
        self._connect()

    def close(self) -> None:
        """End all threads."""
        self._disconnect()
        self._outbox.close()

    def connected(self) -> None:
        """Say which generation is held."""
        self._transport.send_hello(Hello(generation=self.generation, agent_version="0", driver="fake"))
        self._sender.connected()

    def desired_arrived(self, envelope: bytes) -> None:
        """Take what the agent's own rule takes; what it never would from one and the same hub is a fault."""
        facts = self._identity.facts
        expected = Expected(
            device=facts.device,
            workspace=facts.workspace,
            floor=0,
            keys={keyid: bytes.fromhex(key) for keyid, key in facts.desired_keys.items()},
            now=datetime.now(UTC),
        )
        verdict = judge(envelope, expected, verify)
        if not isinstance(verdict, Desired):
            self.faults.append(f"{verdict.code}: {verdict.reason}")
            return
        digest = hashlib.sha256(envelope).hexdigest()
        if self._documents.setdefault(verdict.generation, digest) != digest:
            self.faults.append(f"generation {verdict.generation} is two documents")
        self.generation = max(self.generation, verdict.generation)

    def ack_arrived(self, ack: Ack) -> None:
        """The hub says that it has stored samples: from now on it must have them."""
        with self._lock:
            self.acknowledged = max(self.acknowledged, ack.mark)
        self._sender.acknowledged(ack)

    def _connect(self) -> None:
        facts = self._identity.facts
        tls = self._identity.tls_context()
        self._transport = MqttTransport(facts.device, facts.mqtt_host, facts.mqtt_port, tls)
        self._sender = Sender(self._outbox, self._transport, batch_samples=20, resend_after_s=2.0)
        self._sender.start()
        self._transport.start(self)

    def _disconnect(self) -> None:
        self._transport.stop()
        self._sender.stop()
