"""Who sends next: by priority, nothing stands still, order within a stream, and a bound in bytes a second."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.outbox.policy import Policies, StreamPolicy
from agent.outbox.schedule import BURST_S, TokenBucket, Turns
from agent.outbox.sender import WINDOW_BATCHES, Sender
from agent.outbox.sqlite import SqliteOutbox
from agent.transport.memory import MemoryTransport
from contract.batches import MAGIC, ZSTD
from contract.encoding import encode
from contract.messages import Ack, Batch

BATCH_SAMPLES = 10


def turns(waiting: Mapping[str, int], rounds: int, order: Turns, size_bytes: int = 100) -> list[str]:
    found = []
    for _ in range(rounds):
        stream = order.choose(waiting)
        order.charge(stream, waiting[stream], size_bytes)
        found.append(stream)
    return found


def test_each_step_of_priority_doubles_the_share() -> None:
    counts = Counter(turns({"a": 0, "b": 1, "c": 3}, 1100, Turns()))
    assert counts == {"a": 100, "b": 200, "c": 800}


def test_the_share_is_of_bytes_and_not_of_messages() -> None:
    order, sent = Turns(), Counter[str]()
    sizes = {"large": 1000, "small": 10}
    for _ in range(2020):
        stream = order.choose({"large": 5, "small": 5})
        order.charge(stream, 5, sizes[stream])
        sent[stream] += sizes[stream]
    assert sent["large"] == pytest.approx(sent["small"], abs=1000)


class ByPriorityAlone(Turns):
    """Gives every turn to the highest priority."""

    def choose(self, waiting: Mapping[str, int]) -> str:
        super().choose(waiting)
        return max(waiting, key=lambda stream: waiting[stream])


def test_nothing_stands_still_and_priority_alone_would_let_it() -> None:
    assert "low" in turns({"low": 0, "high": 9}, 600, Turns())
    assert "low" not in turns({"low": 0, "high": 9}, 600, ByPriorityAlone())


def test_who_had_nothing_to_send_neither_waits_nor_saves_up_turns() -> None:
    order = Turns()
    turns({"backlog": 5}, 1000, order)
    found = turns({"backlog": 5, "fresh": 5}, 101, order)
    assert "fresh" in found[:2]
    assert Counter(found).most_common()[0][1] <= 51


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 3000)), min_size=1, max_size=60))
def test_the_bucket_holds_its_bound_in_every_interval(steps: list[tuple[float, int]]) -> None:
    rate = 1000.0
    bucket, now = TokenBucket(rate, 0.0), 0.0
    sent: list[tuple[float, int]] = []
    for pause_s, size in steps:
        now += pause_s
        if not bucket.wait_s(now):
            bucket.take(size)
            sent.append((now, size))
    for i, (start, _) in enumerate(sent):
        for j in range(i, len(sent)):
            before_the_last = sum(size for _, size in sent[i:j])
            assert before_the_last <= rate * (sent[j][0] - start + BURST_S) + 1e-6


def test_the_bucket_says_exactly_how_long_to_wait() -> None:
    bucket = TokenBucket(100.0, 0.0)
    bucket.take(300)
    assert bucket.wait_s(0.0) == 2.0
    assert bucket.wait_s(1.5) == 0.5
    assert bucket.wait_s(2.0) == 0.0
    assert bucket.wait_s(1000.0) == 0.0
    bucket.take(101)
    assert bucket.wait_s(1000.0) > 0, "what was not used is not saved up beyond the burst"


class Line:
    """An outbox and a sender on a clock set by hand; the hub takes one message at a time, or none."""

    def __init__(self, path: Path, max_bytes_per_s: int = 0, **priorities: int) -> None:
        self.now = 0.0
        self.outbox = SqliteOutbox(path, max_bytes=1 << 22)
        self.transport = MemoryTransport()
        self.transport.connect()
        self.sender = Sender(
            self.outbox,
            self.transport,
            batch_samples=BATCH_SAMPLES,
            resend_after_s=10.0,
            policies=Policies(
                streams={name: StreamPolicy(priority=priority) for name, priority in priorities.items()}
            ),
            max_bytes_per_s=max_bytes_per_s,
            monotonic=lambda: self.now,
        )
        self.stored: list[tuple[str, Batch]] = []
        self._number = 0

    def put(self, stream: str, samples: int, body: bytes = b"1") -> None:
        self._number += 1
        self.outbox.put(stream, "p", self._number, (0,) * samples, (msgspec.Raw(body),) * samples)

    def take_one(self, *encodings: str) -> None:
        stream, batch = self.transport.batches.pop(0)
        self.stored.append((stream, batch))
        ack = Ack(epoch=batch.epoch, stream=stream, mark=batch.last, encodings=encodings or msgspec.UNSET)
        self.sender.acknowledged(ack)


def test_after_a_long_time_offline_the_important_is_there_first_and_nothing_starves(tmp_path: Path) -> None:
    line = Line(tmp_path / "o.db", bulk=3, alarms=6)
    line.put("bulk", 2000)
    line.put("alarms", 800)
    line.sender.send_some()
    for _ in range(90):
        line.take_one()
        line.sender.send_some()
    first = Counter(stream for stream, _ in line.stored)
    assert first["alarms"] == 80, "all of it, while the backlog of the other is hardly begun"
    assert 8 <= first["bulk"] <= 12
    line.put("fresh", 1)
    line.sender.send_some()
    line.take_one()
    line.sender.send_some()
    assert line.transport.batches[-1][0] == "fresh", "the next that is sent, before the backlog"
    while line.transport.batches:
        line.take_one()
        line.sender.send_some()
    for name in ("bulk", "alarms", "fresh"):
        firsts = [batch.first for stream, batch in line.stored if stream == name]
        assert firsts == sorted(firsts)
    assert line.outbox.report().pending == 0


def test_a_stream_that_is_never_acknowledged_holds_up_no_other(tmp_path: Path) -> None:
    line = Line(tmp_path / "o.db", deaf=9)
    line.put("deaf", 500)
    line.sender.send_some()
    assert [stream for stream, _ in line.transport.batches] == ["deaf"] * WINDOW_BATCHES
    line.put("s", 500)
    line.transport.batches.clear()
    line.sender.send_some()
    assert line.transport.batches == [], "what is on its way may still be acknowledged"
    line.now = 10.5
    line.sender.send_some()
    counts = Counter(stream for stream, _ in line.transport.batches)
    assert counts == {"deaf": 1, "s": WINDOW_BATCHES}
    for _ in range(200):
        line.transport.batches = [sent for sent in line.transport.batches if sent[0] != "deaf"]
        if line.transport.batches:
            line.take_one()
        line.sender.send_some()
    assert line.outbox.report().pending == 500
    line.sender.acknowledged(Ack(epoch=line.outbox.epoch, stream="deaf", mark=BATCH_SAMPLES))
    line.sender.send_some()
    assert [stream for stream, _ in line.transport.batches] == ["deaf"] * WINDOW_BATCHES


@pytest.mark.parametrize("rate", [0, 2000])
def test_the_upload_limit_bounds_bytes_in_time_and_loses_nothing(tmp_path: Path, rate: int) -> None:
    line = Line(tmp_path / "o.db", max_bytes_per_s=rate, a=2, b=7)
    line.put("a", 200, b'"' + b"x" * 100 + b'"')
    line.put("b", 200, b'"' + b"x" * 100 + b'"')
    sent_bytes, largest = 0, 0
    while line.outbox.report().pending:
        wait_s = line.sender.send_some()
        while line.transport.batches:
            size = len(encode(line.transport.batches[0][1]))
            sent_bytes, largest = sent_bytes + size, max(largest, size)
            line.take_one()
        if rate:
            assert sent_bytes <= rate * (line.now + BURST_S) + largest
            line.now += wait_s
        else:
            assert line.now == 0
    assert sent_bytes > 40_000
    assert line.now == 0 or line.now >= (sent_bytes - largest) / rate - BURST_S


def test_with_a_limit_the_important_still_goes_first(tmp_path: Path) -> None:
    line = Line(tmp_path / "o.db", max_bytes_per_s=1000, bulk=1, alarms=8)
    line.put("bulk", 100, b'"' + b"x" * 100 + b'"')
    line.put("alarms", 50, b'"' + b"x" * 100 + b'"')
    while line.outbox.batch("alarms", line.outbox.mark("alarms"), 1) is not None:
        line.now += line.sender.send_some()
        while line.transport.batches:
            line.take_one()
    sent = Counter(stream for stream, _ in line.stored)
    assert sent["bulk"] <= 1


def test_batches_are_compressed_only_for_a_hub_that_just_said_that_it_reads_them(tmp_path: Path) -> None:
    line = Line(tmp_path / "o.db")

    def compressed() -> set[bool]:
        line.transport.payloads.clear()
        line.put("s", BATCH_SAMPLES, b'"something that repeats itself"')
        line.sender.send_some()
        return {payload.startswith(MAGIC) for payload in line.transport.payloads}

    assert compressed() == {False}, "who has not said it yet"
    line.take_one("of-a-later-release", ZSTD)
    assert compressed() == {True}
    line.take_one()
    assert compressed() == {False}, "another hub, of an older release"
    line.take_one("of-a-later-release")
    assert compressed() == {False}
    line.take_one(ZSTD)
    assert compressed() == {True}
    line.now = 10.5
    assert compressed() == {False}, "not acknowledged in time: perhaps it could not be read"
    line.take_one(ZSTD)
    assert compressed() == {True}
    line.sender.connected()
    assert compressed() == {False}, "after a connect it may be another hub"
