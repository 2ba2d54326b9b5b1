"""The port `Outbox`."""

from typing import Final, Protocol

import msgspec

from contract.errors import HeadlandError
from contract.messages import Batch, OutboxReport

# Half of what the broker takes: a message that it refuses would come back for ever.
MAX_BATCH_BYTES: Final = 512 * 1024


class OutboxError(HeadlandError):
    """The outbox could not take or give samples (disk full, damaged file)."""

    code = "outbox-failed"
    retriable = True


class OutboxFullError(OutboxError):
    """A stream that would rather be refused than lose samples found no room; nothing was stored."""

    code = "outbox-full"


class Outbox(Protocol):
    """Samples between modules and the hub; safe to use from several threads."""

    @property
    def epoch(self) -> str:
        """Name of this life of the outbox; a lost disk starts a new one."""

    def put(
        self,
        stream: str,
        producer: str,
        number: int,
        sampled_at_us: tuple[int, ...],
        bodies: tuple[msgspec.Raw, ...],
    ) -> int:
        """Store a hand-over durably; return how many samples the outbox took in.

        The same ``(producer, number)`` again, or a lower number, stores nothing and returns 0. What
        a full outbox drops, by the streams' policies, is counted before this returns. Raises
        `OutboxFullError` where the stream's policy is to refuse, and `OutboxError` where nothing
        could be stored; then nothing was.
        """

    def streams(self) -> tuple[str, ...]:
        """Streams that ever had a sample."""

    def batch(self, stream: str, after: int, most: int, most_bytes: int = MAX_BATCH_BYTES) -> Batch | None:
        """Return the next samples beyond sequence ``after``, or none if there are none.

        At most ``most``, and no more than one where their bodies are above ``most_bytes``.
        """

    def mark(self, stream: str) -> int:
        """Return the highest sequence that the hub is known to have stored (0: none)."""

    def acknowledge(self, stream: str, mark: int) -> int:
        """Forget every sample of ``stream`` up to ``mark``; return the mark in force.

        A mark beyond what was ever stored says that an older copy of this outbox came back: nothing
        is forgotten, a new epoch begins, and the mark in force is 0.
        """

    def expire(self) -> None:
        """Drop what is older than its stream's time to live, counted."""

    def report(self) -> OutboxReport:
        """Return how much waits, and how much was dropped."""

    def close(self) -> None:
        """Free the file."""
