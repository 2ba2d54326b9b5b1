"""How much may be on its way to the hub, and after how long it goes again; pure, told the time.

The timer is that of RFC 6298 over the time from a batch to its acknowledgement; what was sent more than once
is not measured (Karn). The window follows that time too: while acknowledgements come within `SHORT_S` it
grows by what they acknowledge, and where one takes longer than `LONG_S`, or none comes, it shrinks. So little
waits before a slow line: nothing goes again that is still on its way, and a sign of life gets through.
"""

from typing import Final

from agent.outbox.port import MAX_BATCH_BYTES

FIRST_BYTES: Final = 16 * 1024
LEAST_BYTES: Final = 2 * 1024
MOST_BYTES: Final = 8 * MAX_BATCH_BYTES
BATCHES: Final = 4
SHORT_S: Final = 1.0
LONG_S: Final = 3.0
SHRINK: Final = 0.7
LONGEST_RESEND_S: Final = 300.0


class Pace:
    """One link's. ``resend_after_s`` is the shortest time after which anything goes again."""

    def __init__(self, resend_after_s: float) -> None:
        self._least_s = resend_after_s
        self._smoothed_s: float | None = None
        self._varies_s = 0.0
        self._patience = 1
        self._shrunk_at = float("-inf")
        self.window_bytes = float(FIRST_BYTES)

    @property
    def batch_bytes(self) -> int:
        """What one batch may hold at the most, so that several are on their way."""
        return min(MAX_BATCH_BYTES, max(LEAST_BYTES, int(self.window_bytes) // BATCHES))

    @property
    def resend_after_s(self) -> float:
        """After how long without an acknowledgement samples go again."""
        usual_s = 0.0 if self._smoothed_s is None else self._smoothed_s + 4 * self._varies_s
        return max(self._least_s, min(LONGEST_RESEND_S, self._patience * max(self._least_s, usual_s)))

    def acknowledged(self, waited_s: float, size_bytes: int, flying_bytes: int, now: float) -> None:
        """A batch that was sent once was stored after ``waited_s``; ``flying_bytes`` were on their way."""
        self._patience = 1
        if self._smoothed_s is None:
            self._smoothed_s, self._varies_s = waited_s, waited_s / 2
        else:
            self._varies_s += (abs(self._smoothed_s - waited_s) - self._varies_s) / 4
            self._smoothed_s += (waited_s - self._smoothed_s) / 8
        # A window that is not used says nothing of the line.
        if waited_s < SHORT_S and flying_bytes * 2 >= self.window_bytes:
            self.window_bytes = min(float(MOST_BYTES), self.window_bytes + size_bytes)
        elif waited_s > LONG_S and now - self._shrunk_at > self._smoothed_s:
            self._shrink(SHRINK, now)

    def moved(self) -> None:
        """What was sent more than once was stored: that measures nothing, but something gets through.

        Else, where many batches are lost, only one that arrives at once would end waits that grow and grow.
        """
        self._patience = 1

    def unanswered(self, now: float) -> None:
        """No acknowledgement came in time: perhaps the line is that slow."""
        self._patience *= 2
        self._shrink(0.5, now)

    def broke(self, now: float) -> None:
        """The connection is a new one, and what was on its way may be lost."""
        self._patience = 1
        self._shrink(0.5, now)

    def _shrink(self, to: float, now: float) -> None:
        self.window_bytes = max(float(LEAST_BYTES), self.window_bytes * to)
        self._shrunk_at = now
