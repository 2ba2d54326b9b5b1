"""What a simulated device has in place of a disk."""

import msgspec

from agent.outbox.port import MAX_BATCH_BYTES
from contract.desired import Desired
from contract.messages import Batch, OutboxReport

NOTHING_WAITS = OutboxReport(pending=0, dropped=0)


class MemoryRecords:
    """Implements `agent.reconcile.hands.Records`; gone with the process."""

    def __init__(self) -> None:
        self._desired: Desired | None = None

    def load_desired(self) -> Desired | None:
        """See `Records`."""
        return self._desired

    def save_desired(self, desired: Desired) -> None:
        """See `Records`."""
        self._desired = desired


class EmptyOutbox:
    """Implements `agent.outbox.port.Outbox` for a device without sensors: it takes nothing in."""

    epoch = "none"

    def put(
        self,
        stream: str,  # noqa: ARG002  the port's
        producer: str,  # noqa: ARG002
        number: int,  # noqa: ARG002
        sampled_at_us: tuple[int, ...],  # noqa: ARG002
        bodies: tuple[msgspec.Raw, ...],  # noqa: ARG002
    ) -> int:
        """See `Outbox`."""
        return 0

    def streams(self) -> tuple[str, ...]:
        """See `Outbox`."""
        return ()

    def batch(
        self,
        stream: str,  # noqa: ARG002  the port's
        after: int,  # noqa: ARG002
        most: int,  # noqa: ARG002
        most_bytes: int = MAX_BATCH_BYTES,  # noqa: ARG002
    ) -> Batch | None:
        """See `Outbox`."""
        return None

    def mark(self, stream: str) -> int:  # noqa: ARG002  the port's
        """See `Outbox`."""
        return 0

    def acknowledge(self, stream: str, mark: int) -> int:  # noqa: ARG002  the port's
        """See `Outbox`."""
        return 0

    def expire(self) -> None:
        """See `Outbox`."""

    def report(self) -> OutboxReport:
        """See `Outbox`."""
        return NOTHING_WAITS

    def close(self) -> None:
        """See `Outbox`."""
