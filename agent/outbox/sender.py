"""Drains the outbox: go-back-N with the hub's acknowledgements as the only receipt.

For each stream a cursor runs ahead of the acknowledged mark by at most `WINDOW_BATCHES`. An
acknowledgement that tells of a gap, or none in time, sets the cursor back to the mark: the hub
stores by sequence, so what goes twice is stored once.
"""

import logging
import threading
import time
from dataclasses import dataclass

from agent.outbox.port import Outbox, OutboxError
from agent.transport.port import Transport
from contract.messages import Ack

log = logging.getLogger(__name__)

WINDOW_BATCHES = 8
# Every batch in flight behind a lost one tells of the same gap: one of them is enough.
SAME_GAP_S = 1.0


@dataclass
class Cursor:
    """How far a stream was sent (``sent``) and stored (``mark``), and when it last moved."""

    mark: int
    sent: int
    moved_at: float
    in_flight: int = 0
    gap_at: float = float("-inf")

    def rewind(self, mark: int, now: float) -> None:
        """Start again behind ``mark``."""
        self.mark = self.sent = mark
        self.in_flight = 0
        self.moved_at = now


class Sender:
    """A thread that sends while there is something to send and a connection."""

    def __init__(
        self, outbox: Outbox, transport: Transport, *, batch_samples: int, resend_after_s: float
    ) -> None:
        self._outbox = outbox
        self._transport = transport
        self._batch_samples = batch_samples
        self._resend_after_s = resend_after_s
        self._cursors: dict[str, Cursor] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
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
            now = time.monotonic()
            for cursor in self._cursors.values():
                cursor.rewind(cursor.mark, now)
        self._wake.set()

    def acknowledged(self, ack: Ack) -> None:
        """The hub stored up to a mark; one of another epoch is not about these samples."""
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
            now = time.monotonic()
            if ack.mark > cursor.mark:
                cursor.mark = ack.mark
                cursor.moved_at = now
                cursor.in_flight = max(0, cursor.in_flight - 1)
                cursor.sent = max(cursor.sent, ack.mark)
                if cursor.sent == ack.mark:
                    cursor.in_flight = 0
            if ack.gap and (ack.mark != cursor.mark or now - cursor.gap_at > SAME_GAP_S):
                # Its mark may even be below ours: a hub restored from a backup.
                cursor.rewind(ack.mark, now)
                cursor.gap_at = now
        self._wake.set()

    def _cursor(self, stream: str) -> Cursor:
        if stream not in self._cursors:
            mark = self._outbox.mark(stream)
            self._cursors[stream] = Cursor(mark, mark, time.monotonic())
        return self._cursors[stream]

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait(timeout=1.0)
            self._wake.clear()
            if self._stopping or not self._transport.is_connected():
                continue
            try:
                for stream in self._outbox.streams():
                    self._send(stream)
            except OutboxError as error:
                log.warning("nothing can be sent for now: %s", error)

    def _send(self, stream: str) -> None:
        with self._lock:
            cursor = self._cursor(stream)
            now = time.monotonic()
            if cursor.in_flight and now - cursor.moved_at > self._resend_after_s:
                cursor.rewind(cursor.mark, now)
            while cursor.in_flight < WINDOW_BATCHES:
                batch = self._outbox.batch(stream, cursor.sent, self._batch_samples)
                if batch is None:
                    return
                if cursor.in_flight == 0:
                    cursor.moved_at = now
                self._transport.send_batch(stream, batch)
                cursor.sent = batch.last
                cursor.in_flight += 1
