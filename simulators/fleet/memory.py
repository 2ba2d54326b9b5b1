"""What a simulated device has in place of a disk: gone with the process."""

from collections import deque
from dataclasses import dataclass, field

import msgspec

from agent.outbox.port import MAX_BATCH_BYTES
from contract.desired import Desired
from contract.messages import Batch, OutboxReport, StreamDrops


class MemoryRecords:
    """Implements `agent.reconcile.hands.Records`."""

    def __init__(self) -> None:
        self._desired: Desired | None = None

    def load_desired(self) -> Desired | None:
        """See `Records`."""
        return self._desired

    def save_desired(self, desired: Desired) -> None:
        """See `Records`."""
        self._desired = desired


@dataclass
class _Kept:
    """One stream: sequence, time and body of what waits."""

    last: int = 0
    mark: int = 0
    evicted: int = 0
    samples: deque[tuple[int, int, msgspec.Raw]] = field(default_factory=deque)


class MemoryOutbox:
    """Implements `agent.outbox.port.Outbox`: at most ``most`` samples of each stream, the oldest give way."""

    def __init__(self, epoch: str, most: int = 10_000) -> None:
        self._life, self._number, self._most = epoch, 0, most
        self._streams: dict[str, _Kept] = {}
        self._numbers: dict[str, int] = {}

    @property
    def epoch(self) -> str:
        """See `Outbox`."""
        return f"{self._life}-{self._number}"

    def put(
        self,
        stream: str,
        producer: str,
        number: int,
        sampled_at_us: tuple[int, ...],
        bodies: tuple[msgspec.Raw, ...],
    ) -> int:
        """See `Outbox`."""
        if number <= self._numbers.get(producer, 0):
            return 0
        self._numbers[producer] = number
        kept = self._streams.setdefault(stream, _Kept())
        for at_us, body in zip(sampled_at_us, bodies, strict=True):
            kept.last += 1
            kept.samples.append((kept.last, at_us, body))
            if len(kept.samples) > self._most:
                kept.samples.popleft()
                kept.evicted += 1
        return len(bodies)

    def streams(self) -> tuple[str, ...]:
        """See `Outbox`."""
        return tuple(self._streams)

    def batch(self, stream: str, after: int, most: int, most_bytes: int = MAX_BATCH_BYTES) -> Batch | None:
        """See `Outbox`."""
        chosen: list[tuple[int, int, msgspec.Raw]] = []
        size_bytes = 0
        for sample in self._streams[stream].samples:
            if sample[0] <= after:
                continue
            size_bytes += len(bytes(sample[2]))
            if chosen and (len(chosen) == most or size_bytes > most_bytes):
                break
            chosen.append(sample)
        if not chosen:
            return None
        return Batch(
            epoch=self.epoch,
            after=after,
            first=chosen[0][0],
            sampled_at_us=tuple(at_us for _, at_us, _ in chosen),
            bodies=tuple(body for _, _, body in chosen),
        )

    def mark(self, stream: str) -> int:
        """See `Outbox`."""
        return self._streams[stream].mark if stream in self._streams else 0

    def acknowledge(self, stream: str, mark: int) -> int:
        """See `Outbox`."""
        kept = self._streams.get(stream)
        if kept is None or mark > kept.last:
            self._number += 1
            for each in self._streams.values():
                each.mark = 0
            return 0
        kept.mark = max(kept.mark, mark)
        while kept.samples and kept.samples[0][0] <= mark:
            kept.samples.popleft()
        return kept.mark

    def expire(self) -> None:
        """See `Outbox`: nothing here is dropped for its age."""

    def report(self) -> OutboxReport:
        """See `Outbox`."""
        drops = tuple(
            StreamDrops(stream=name, evicted=kept.evicted)
            for name, kept in self._streams.items()
            if kept.evicted
        )
        return OutboxReport(
            pending=sum(len(kept.samples) for kept in self._streams.values()),
            dropped=sum(each.evicted for each in drops),
            streams=drops or msgspec.UNSET,
        )

    def close(self) -> None:
        """See `Outbox`."""
