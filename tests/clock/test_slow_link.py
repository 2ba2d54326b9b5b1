"""Telemetry over a slow line, in virtual time: nothing goes twice that is on its way, and the line is used.

The judge counts what was put onto the line.
"""

from collections import Counter, deque
from pathlib import Path

import pytest

from agent.outbox.pace import MOST_BYTES, Pace
from agent.outbox.sender import Sender
from agent.outbox.sqlite import SqliteOutbox
from agent.transport.memory import MemoryTransport
from contract.messages import Ack, Batch
from tests.clock.samples import put

SAMPLES = 1500
BODY_BYTES = 200
STEP_S = 0.05
DELAY_S = 0.3


class FixedPace(Pace):
    """The negative control: the whole window at once, and again after a fixed time."""

    def __init__(self, resend_after_s: float) -> None:
        super().__init__(resend_after_s)
        self.window_bytes = float(MOST_BYTES)

    def acknowledged(self, *_: object) -> None:
        """Learn nothing."""

    def unanswered(self, now: float) -> None:
        """Learn nothing."""


class SlowLine:
    """A line of so many bytes a second to a hub that stores at once; one message after the other."""

    def __init__(self, folder: Path, bytes_per_s: float, pace: Pace | None = None) -> None:
        self.now, self._rate = 0.0, bytes_per_s
        self.outbox = SqliteOutbox(folder / "o.db", max_bytes=1 << 24)
        self.transport = MemoryTransport()
        self.transport.connect()
        self.sender = Sender(
            self.outbox,
            self.transport,
            batch_samples=500,
            resend_after_s=10.0,
            monotonic=lambda: self.now,
            pace=pace,
        )
        self.carried_bytes = 0
        self.sent: Counter[tuple[str, int]] = Counter()
        self._free_at = 0.0
        self._coming: deque[tuple[float, str, Batch]] = deque()
        self._marks: Counter[str] = Counter()

    def step(self) -> None:
        """Let a moment pass."""
        self.now += STEP_S
        self.sender.send_some()
        for (stream, batch), payload in zip(self.transport.batches, self.transport.payloads, strict=True):
            self._free_at = max(self._free_at, self.now) + len(payload) / self._rate
            self.carried_bytes += len(payload)
            self.sent.update((stream, seq) for seq in range(batch.first, batch.last + 1))
            self._coming.append((self._free_at + DELAY_S, stream, batch))
        self.transport.batches.clear()
        self.transport.payloads.clear()
        while self._coming and self._coming[0][0] <= self.now:
            _, stream, batch = self._coming.popleft()
            if batch.after <= self._marks[stream]:
                self._marks[stream] = max(self._marks[stream], batch.last)
            self.sender.acknowledged(Ack(epoch=batch.epoch, stream=stream, mark=self._marks[stream]))

    def drain(self, streams: int = 2) -> float:
        """Let all of it go; return how much of what was carried was needed once, 0 to 1."""
        for number in range(1, SAMPLES // 10 + 1):
            put(self.outbox, f"s{number % streams}", number, 0, samples=10, padding=BODY_BYTES)
        while self.outbox.report().pending:
            self.step()
            assert self.now < 24 * 3600, "it does not end"
        assert len(self.sent) == SAMPLES
        return len(self.sent) / sum(self.sent.values())


@pytest.mark.parametrize("bytes_per_s", [1000, 5000, 20_000, 50_000, 1_000_000])
def test_nothing_goes_twice_over_a_slow_line_and_the_line_is_used(tmp_path: Path, bytes_per_s: int) -> None:
    line = SlowLine(tmp_path, bytes_per_s)
    assert line.drain() == 1.0
    ideal_s = line.carried_bytes / bytes_per_s
    assert line.now <= 1.5 * ideal_s + 5


def test_negative_control_a_fixed_timer_and_window_send_much_of_it_again(tmp_path: Path) -> None:
    assert SlowLine(tmp_path, 5000, FixedPace(10.0)).drain() < 0.7


def test_a_line_that_becomes_slow_is_noticed(tmp_path: Path) -> None:
    line = SlowLine(tmp_path, 1_000_000)
    line.drain()
    fast = line.sender._pace.window_bytes
    line._rate = 2000
    for number in range(1000, 1100):
        put(line.outbox, "late", number, 0, samples=10, padding=BODY_BYTES)
    before = sum(line.sent.values())
    while line.outbox.report().pending:
        line.step()
    assert line.sender._pace.window_bytes < fast
    assert sum(line.sent.values()) - before <= 2 * 1000, "what goes again is less than what there is"


def test_the_timer_follows_rfc_6298_and_waits_longer_each_time_that_nothing_comes() -> None:
    pace = Pace(1.0)
    assert pace.resend_after_s == 1.0
    pace.acknowledged(2.0, 100, 100, 0.0)
    assert pace.resend_after_s == pytest.approx(2.0 + 4 * 1.0)
    pace.acknowledged(4.0, 100, 100, 0.0)
    assert pace.resend_after_s == pytest.approx(2.25 + 4 * (0.75 * 1.0 + 0.25 * 2.0))
    waits = []
    for _ in range(9):
        pace.unanswered(0.0)
        waits.append(pace.resend_after_s)
    assert waits == sorted(waits)
    assert waits[0] == pytest.approx(2 * (2.25 + 4 * 1.25))
    assert waits[-1] == 300
    pace.acknowledged(2.25, 100, 100, 0.0)
    assert pace.resend_after_s < 10


def test_a_wait_that_grew_ends_with_anything_that_gets_through() -> None:
    pace = Pace(0.1)
    for at in range(12):
        pace.unanswered(float(at))
    assert pace.resend_after_s > 60
    pace.moved()
    assert pace.resend_after_s == pytest.approx(0.1)
