"""Drains the outbox: go-back-N with the hub's acknowledgements as the only receipt.

For each stream a cursor runs ahead of the acknowledged mark. An
acknowledgement that tells of a gap, or none in time, sets the cursor back to the mark: the hub
stores by sequence, so what goes twice is stored once.

All streams together have at most `WINDOW_BATCHES` on their way: what was sent can no longer be overtaken, and
only what is not yet sent goes by priority (`agent.outbox.schedule`). A stream that was not acknowledged in
time is stalled until it is: it sends one batch at a time, which is not counted, so that it holds up no other.
How many bytes that may be, and how long "in time" is, follows what the line does (`agent.outbox.pace`).
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from agent.outbox.pace import Pace
from agent.outbox.policy import Policies
from agent.outbox.port import MAX_BATCH_BYTES, Outbox, OutboxError
from agent.outbox.schedule import TokenBucket, Turns
from agent.transport.port import Transport
from contract.batches import ZSTD
from contract.messages import Ack

log = logging.getLogger(__name__)

WINDOW_BATCHES = 8
# Every batch in flight behind a lost one tells of the same gap: one of them is enough.
SAME_GAP_S = 1.0
LOOK_AGAIN_S = 1.0
EXPIRE_EVERY_S = 60.0
# With a limit, a message holds at most what goes in so many seconds: a turn then does not last for minutes.
TURN_S = 2.0
MIN_TURN_BYTES = 4096


@dataclass(frozen=True)
class Flight:
    """A batch on its way: its last sequence, its bytes, and since when; ``again``: not for the first time."""

    last: int
    size_bytes: int
    since: float
    again: bool


@dataclass
class Cursor:
    """How far a stream was sent (``sent``) and stored (``mark``), and when it last moved.

    ``farthest`` is how far it was ever sent, and ``hoped`` how far when nothing came in time: that may still
    be on its way.
    """

    mark: int
    sent: int
    moved_at: float
    in_flight: deque[Flight] = field(default_factory=deque)
    farthest: int = 0
    hoped: int = 0
    gap_at: float = float("-inf")
    stalled: bool = False

    def rewind(self, mark: int, now: float) -> None:
        """Start again behind ``mark``: what was on its way is lost."""
        self.hoped = 0
        self.mark = self.sent = mark
        self.in_flight.clear()
        self.moved_at = now

    def advance(self, mark: int, now: float) -> list[Flight]:
        """Everything up to ``mark`` is stored; return what arrived."""
        self.mark = mark
        self.sent = max(self.sent, mark)
        self.moved_at = now
        self.stalled = False
        arrived = []
        if self.hoped > mark == self.sent and not (self.in_flight and self.in_flight[-1].last >= mark):
            # It goes beyond what was sent again: the rest is on its way too, or the hub tells of a gap.
            self.sent, self.hoped = self.hoped, 0
            self.in_flight.append(Flight(self.sent, 0, now, again=True))
        while self.in_flight and self.in_flight[0].last <= mark:
            arrived.append(self.in_flight.popleft())
        return arrived


class Sender:
    """A thread that sends while there is something to send and a connection.

    ``max_bytes_per_s`` bounds the bytes of batches, as their messages hold them (0: no bound).
    """

    def __init__(
        self,
        outbox: Outbox,
        transport: Transport,
        *,
        batch_samples: int,
        resend_after_s: float,
        policies: Policies | None = None,
        max_bytes_per_s: int = 0,
        monotonic: Callable[[], float] = time.monotonic,
        pace: Pace | None = None,
    ) -> None:
        self._outbox = outbox
        self._transport = transport
        self._batch_samples = batch_samples
        self._pace = pace or Pace(resend_after_s)
        self._policies = policies or Policies()
        self._now = monotonic
        self._turns = Turns()
        self._bucket = TokenBucket(max_bytes_per_s, monotonic()) if max_bytes_per_s else None
        self._batch_bytes = MAX_BATCH_BYTES
        if max_bytes_per_s:
            self._batch_bytes = min(MAX_BATCH_BYTES, max(MIN_TURN_BYTES, int(TURN_S * max_bytes_per_s)))
        # Told by each acknowledgement anew: after a connect, or silence, it may be an older hub.
        self._compress = False
        self._expired_at = float("-inf")
        self._answered_at = float("-inf")
        self._cursors: dict[str, Cursor] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._trouble = ""
        self._thread = threading.Thread(target=self._run, name="outbox-sender", daemon=True)

    def start(self) -> None:
        """Begin sending."""
        self._thread.start()

    def stop(self) -> None:
        """Stop sending; what was not acknowledged stays in the outbox."""
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def wake(self) -> None:
        """There is something new to send."""
        self._wake.set()

    def connected(self) -> None:
        """A new connection: whatever was in flight may be lost, so start behind the marks."""
        with self._lock:
            self._compress = False
            now = self._now()
            if self._flying_bytes():
                self._pace.broke(now)
            for cursor in self._cursors.values():
                cursor.rewind(cursor.mark, now)
                cursor.stalled = False
        self._wake.set()

    def acknowledged(self, ack: Ack) -> None:
        """The hub stored up to a mark; one of another epoch is not about these samples."""
        self._compress = not isinstance(ack.encodings, msgspec.UnsetType) and ZSTD in ack.encodings
        if ack.epoch != self._outbox.epoch:
            return
        accepted = self._outbox.acknowledge(ack.stream, ack.mark)
        with self._lock:
            if accepted < ack.mark:
                log.warning("the hub knows more of this outbox than it holds: a new epoch begins")
                self._cursors.clear()
                self._wake.set()
                return
            cursor = self._cursor(ack.stream)
            now = self._now()
            if ack.mark > cursor.mark:
                flying_bytes, self._answered_at = self._flying_bytes(), now
                measured = [flight for flight in cursor.advance(ack.mark, now) if not flight.again]
                for flight in measured:
                    waited_s = now - flight.since
                    self._pace.acknowledged(waited_s, flight.size_bytes, flying_bytes, now)
                if not measured:
                    self._pace.moved()
            if ack.gap and (ack.mark != cursor.mark or now - cursor.gap_at > SAME_GAP_S):
                # Its mark may even be below ours: a hub restored from a backup.
                cursor.rewind(ack.mark, now)
                cursor.gap_at = now
        self._wake.set()

    def _cursor(self, stream: str) -> Cursor:
        if stream not in self._cursors:
            mark = self._outbox.mark(stream)
            self._cursors[stream] = Cursor(mark, mark, self._now())
        return self._cursors[stream]

    def _run(self) -> None:
        wait_s = LOOK_AGAIN_S
        while not self._stopping:
            self._wake.wait(timeout=wait_s)
            self._wake.clear()
            wait_s = LOOK_AGAIN_S
            if self._stopping:
                return
            try:
                self._expire()
                if self._transport.is_connected():
                    wait_s = self.send_some()
                self._trouble = ""
            except OutboxError as error:
                # Once: it is looked at each second, and the log may be on the same full disk.
                if str(error) != self._trouble:
                    log.warning("nothing can be sent for now: %s", error)
                self._trouble = str(error)

    def _expire(self) -> None:
        now = self._now()
        if now - self._expired_at >= EXPIRE_EVERY_S:
            self._expired_at = now
            self._outbox.expire()

    def send_some(self) -> float:
        """Send what may go now, each batch in its stream's turn; return after how long to look again."""
        if self._bucket and (wait_s := self._bucket.wait_s(self._now())):
            return min(wait_s, LOOK_AGAIN_S)
        waiting = {stream: self._policies.of(stream).priority for stream in self._outbox.streams()}
        with self._lock:
            for stream in waiting:
                cursor, now = self._cursor(stream), self._now()
                if cursor.in_flight and now - cursor.moved_at > self._pace.resend_after_s:
                    if self._answered_at <= cursor.moved_at:
                        self._pace.unanswered(now)  # it is the line, not the stream
                    hoped = max(cursor.hoped, cursor.sent)
                    cursor.rewind(cursor.mark, now)
                    cursor.hoped, cursor.stalled = hoped, True
                    self._compress = False
        while waiting and not self._stopping:
            if self._bucket and (wait_s := self._bucket.wait_s(self._now())):
                return min(wait_s, LOOK_AGAIN_S)
            stream = self._turns.choose(waiting)
            with self._lock:
                sent_bytes = self._send_next(stream)
            if sent_bytes is None:
                del waiting[stream]
                continue
            self._turns.charge(stream, waiting[stream], sent_bytes)
            if self._bucket:
                self._bucket.take(sent_bytes)
        return LOOK_AGAIN_S

    def _send_next(self, stream: str) -> int | None:
        """Send a stream's next batch and return its bytes, or none where it has none or must wait."""
        cursor = self._cursor(stream)
        if cursor.stalled:
            full = bool(cursor.in_flight)
        else:
            moving = (each for each in self._cursors.values() if not each.stalled)
            batches = sum(len(each.in_flight) for each in moving)
            full = batches >= WINDOW_BATCHES or self._flying_bytes() >= self._pace.window_bytes
        if full:
            return None
        most_bytes = min(self._batch_bytes, self._pace.batch_bytes)
        batch = self._outbox.batch(stream, cursor.sent, self._batch_samples, most_bytes)
        if batch is None:
            return None
        now = self._now()
        if not cursor.in_flight:
            cursor.moved_at = now
        sent_bytes = self._transport.send_batch(stream, batch, compress=self._compress)
        cursor.sent = batch.last
        cursor.in_flight.append(Flight(batch.last, sent_bytes, now, again=batch.first <= cursor.farthest))
        cursor.farthest = max(cursor.farthest, batch.last)
        return sent_bytes

    def _flying_bytes(self) -> int:
        """Return what is on its way, without the stalled streams'."""
        moving = (each for each in self._cursors.values() if not each.stalled)
        return sum(flight.size_bytes for each in moving for flight in each.in_flight)
