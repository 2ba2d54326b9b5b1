"""Seven days offline with a full outbox, in accelerated time: what is lost follows the declared policies.

And the device's counters say exactly what the hub lacks. The judge stands outside both: it compares what
modules handed over with what the hub's files hold.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from agent.outbox.policy import Policies, StreamPolicy
from agent.outbox.port import OutboxFullError
from agent.outbox.sender import Sender
from agent.outbox.sqlite import SqliteOutbox
from agent.transport.memory import MemoryTransport
from cloud_hub.blobs.folder import FolderStore
from cloud_hub.db.engine import Database
from cloud_hub.telemetry.files import Files
from cloud_hub.telemetry.ingest import Arrived, Ingest
from cloud_hub.telemetry.query import Telemetry
from contract import topics
from contract.batches import ENCODINGS
from contract.messages import StreamDrops

MAX_BYTES = 900_000
STEP_US = 20 * 60 * 1_000_000
STEPS_A_DAY = 72
PADDING = "x" * 180
STREAMS = {
    "alarms": StreamPolicy(priority=9),
    "vitals": StreamPolicy(priority=7, ttl_s=86_400),
    "audit": StreamPolicy(priority=5, on_full="refuse"),
    "inference": StreamPolicy(priority=5),
    "trace": StreamPolicy(priority=5, on_full="newest"),
    "debug": StreamPolicy(priority=1),
}
SAMPLES_A_STEP = {"alarms": 2, "vitals": 3, "audit": 2, "inference": 10, "trace": 2, "debug": 10}


@dataclass
class Module:
    """Hands over numbered samples of one stream; what was refused it keeps, and hands over again."""

    stream: str
    count: int = 0
    taken: list[int] = field(default_factory=list)
    waiting: list[tuple[int, int, list[int]]] = field(default_factory=list)
    _number: int = 0

    def sample(self, samples: int, at_us: int) -> None:
        self._number += 1
        values = list(range(self.count, self.count + samples))
        self.count += samples
        self.waiting.append((self._number, at_us, values))

    def hand_over(self, outbox: SqliteOutbox) -> None:
        while self.waiting:
            number, at_us, values = self.waiting[0]
            bodies = tuple(msgspec.Raw(b'{"n":%d,"x":"%b"}' % (n, PADDING.encode())) for n in values)
            try:
                outbox.put(self.stream, self.stream, number, (at_us,) * len(values), bodies)
            except OutboxFullError:
                return
            self.taken += values
            del self.waiting[0]


class Device:
    """A device's outbox and sender on a clock set by hand, its modules, and a link that is cut."""

    def __init__(self, path: Path, policies: Policies) -> None:
        self.now_us = 1_767_323_045_000_000
        self.path = path
        self.outbox = SqliteOutbox(
            path, max_bytes=MAX_BYTES, policies=policies, age_us=lambda at_us: self.now_us - at_us
        )
        self.transport = MemoryTransport()
        self.sender = Sender(
            self.outbox,
            self.transport,
            batch_samples=500,
            resend_after_s=10.0,
            policies=policies,
            monotonic=lambda: self.now_us / 1e6,
        )
        self.modules = {stream: Module(stream) for stream in STREAMS}

    def live(self, steps: int) -> None:
        """Let time pass without a network."""
        for _ in range(steps):
            self.now_us += STEP_US
            for stream, module in self.modules.items():
                module.sample(SAMPLES_A_STEP[stream], self.now_us)
                module.hand_over(self.outbox)
            self.outbox.expire()

    def drain(self, ingest: Ingest) -> None:
        """Let the network be there until nothing waits."""
        self.transport.connect()
        self.sender.connected()
        while self.outbox.report().pending:
            self.sender.send_some()
            arrived = [
                Arrived(topics.to_subject(topics.telemetry("cam-1", stream)), payload)
                for (stream, _), payload in zip(self.transport.batches, self.transport.payloads, strict=True)
            ]
            assert arrived, "something waits, and nothing is sent"
            self.transport.batches.clear()
            self.transport.payloads.clear()
            for _, ack in ingest.store(arrived):
                self.sender.acknowledged(msgspec.structs.replace(ack, encodings=ENCODINGS))

    def drops(self) -> dict[str, StreamDrops]:
        streams = self.outbox.report().streams
        assert not isinstance(streams, msgspec.UnsetType)
        return {drops.stream: drops for drops in streams}


@dataclass
class Stored:
    """What the hub's files hold of a stream: samples in the order of their sequences, and the holes."""

    values: list[int]
    missing_sequences: int


def stored(database: Database, folder: Path) -> dict[str, Stored]:
    store = FolderStore(folder / "objects")
    telemetry = Telemetry(database, store, Files(database, store))
    found: dict[str, Stored] = defaultdict(lambda: Stored([], 0))
    for stream in (each["stream"] for each in telemetry.streams("shop")):
        rows = telemetry.query("shop", f"SELECT body->>'n', seq FROM {stream} ORDER BY seq").rows
        values, sequences = [int(row[0]) for row in rows], [row[1] for row in rows]
        found[stream] = Stored(values, sequences[-1] - len(sequences))
    return found


def faults(device: Device, hub: dict[str, Stored]) -> list[str]:
    """Return how what the device says differs from what the hub lacks, by stream."""
    found, drops = [], device.drops()
    for stream, module in device.modules.items():
        told = drops.get(stream, StreamDrops(stream=stream))
        lost = told.evicted + told.incoming + told.expired
        missing = set(module.taken) - set(hub[stream].values)
        if lost != len(missing):
            found.append(f"{stream}: {lost} told, {len(missing)} missing")
        if len(hub[stream].values) != len(module.taken) - len(missing):
            found.append(f"{stream}: stored twice, or never handed over")
    total = sum(len(each.taken) - len(hub[each.stream].values) for each in device.modules.values())
    if device.outbox.report().dropped != total:
        found.append(f"{device.outbox.report().dropped} dropped in all, {total} missing")
    return found


def test_seven_days_offline_lose_what_was_declared_and_the_counters_say_it(
    database: Database, tmp_path: Path
) -> None:
    device = Device(tmp_path / "o.db", Policies(streams=STREAMS))
    device.live(7 * STEPS_A_DAY)
    assert device.modules["audit"].waiting, "a stream that refuses was full at some time"
    device.drain(Ingest(database))
    device.modules["audit"].hand_over(device.outbox)
    device.drain(Ingest(database))
    hub, drops = stored(database, tmp_path), device.drops()
    assert faults(device, hub) == []

    handed = {stream: list(range(module.count)) for stream, module in device.modules.items()}
    assert hub["alarms"].values == handed["alarms"], "of the highest priority nothing is lost"
    kept = len(hub["inference"].values)
    assert 0 < kept < len(handed["inference"])
    assert hub["inference"].values == handed["inference"][-kept:], "the oldest went"
    kept = len(hub["trace"].values)
    assert 0 < kept < len(handed["trace"])
    assert hub["trace"].values == handed["trace"][:kept], "the newest went"
    first = handed["vitals"].index(hub["vitals"].values[0])
    assert hub["vitals"].values == handed["vitals"][first:]
    assert first // SAMPLES_A_STEP["vitals"] == 6 * STEPS_A_DAY - 1, "what was a day old, and nothing younger"
    assert hub["debug"].values == [], "the lowest priority went first"
    assert device.modules["audit"].taken == handed["audit"], "what was refused came in the end"
    assert {stream for stream, told in drops.items() if told.expired} == {"vitals"}
    assert {stream for stream, told in drops.items() if told.incoming} == {"trace"}
    assert {stream for stream, told in drops.items() if told.refused} == {"audit"}
    assert hub["inference"].missing_sequences == drops["inference"].evicted, "the hole that the hub sees"
    device.outbox.close()


def steal(device: Device) -> None:
    """Lose three samples without a word."""
    with sqlite3.connect(device.path) as db:
        db.execute(
            "DELETE FROM samples WHERE seq IN (SELECT seq FROM samples WHERE stream = 'alarms' LIMIT 3)"
        )
        db.execute("UPDATE outbox SET pending = (SELECT COUNT(*) FROM samples)")


def overstate(device: Device) -> None:
    """Count a loss that never was."""
    with sqlite3.connect(device.path) as db:
        changed = db.execute("UPDATE drops SET samples = samples + 1 WHERE stream = 'debug'")
        assert changed.rowcount == 1


@pytest.mark.parametrize("breach", [steal, overstate])
def test_negative_control_a_loss_that_is_not_counted_right_is_found(
    database: Database, tmp_path: Path, breach: Callable[[Device], None]
) -> None:
    device = Device(tmp_path / "o.db", Policies(streams=STREAMS))
    device.live(2 * STEPS_A_DAY)
    breach(device)
    device.drain(Ingest(database))
    assert faults(device, stored(database, tmp_path))


def test_negative_control_without_priorities_the_important_is_lost(
    database: Database, tmp_path: Path
) -> None:
    device = Device(tmp_path / "o.db", Policies())
    device.live(3 * STEPS_A_DAY)
    device.drain(Ingest(database))
    hub = stored(database, tmp_path)
    assert faults(device, hub) == [], "it is counted all the same"
    assert len(hub["alarms"].values) < device.modules["alarms"].count
