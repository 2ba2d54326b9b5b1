"""Whose turn it is to send, and whether anything may be sent yet; pure, with the time told from outside."""

from collections.abc import Mapping

BURST_S = 1.0
SLACK_BYTES = 1e-7


class Turns:
    """Shares the link between streams by weight: stride scheduling, counted in bytes.

    While several streams have something to send, one of priority ``p`` gets twice the bytes of one of
    ``p - 1``: what matters more goes first, and nothing ever stands still. A stream that had nothing to
    send saves up no turns, and waits for none: its first message goes before the next of a backlog.
    """

    def __init__(self) -> None:
        self._passes: dict[str, float] = {}
        self._now = 0.0

    def choose(self, waiting: Mapping[str, int]) -> str:
        """Return which of the ``waiting`` streams (name and priority, at least one) sends next."""
        for stream in waiting:
            self._passes[stream] = max(self._passes.get(stream, 0.0), self._now)
        chosen = min(waiting, key=lambda stream: (self._passes[stream], -waiting[stream], stream))
        self._now = self._passes[chosen]
        return chosen

    def charge(self, stream: str, priority: int, size_bytes: int) -> None:
        """A stream that was chosen has sent ``size_bytes``."""
        self._passes[stream] += max(size_bytes, 1) / 2**priority


class TokenBucket:
    """Bounds bytes in a time: in any ``t`` seconds at most ``rate * (t + BURST_S)`` and one message more.

    A message may go while nothing is owed, and is paid for afterwards: so one that is larger than the
    bucket goes too.
    """

    def __init__(self, bytes_per_s: float, now: float) -> None:
        self._rate = bytes_per_s
        self._level = bytes_per_s * BURST_S
        self._at = now

    def wait_s(self, now: float) -> float:
        """Return how long nothing may be sent (0: now)."""
        self._level = min(self._rate * BURST_S, self._level + (now - self._at) * self._rate)
        self._at = now
        # So little is what the arithmetic leaves over, not a debt.
        return -self._level / self._rate if self._level < -SLACK_BYTES else 0.0

    def take(self, size_bytes: int) -> None:
        """A message of ``size_bytes`` was sent."""
        self._level -= size_bytes
