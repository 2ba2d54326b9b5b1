"""The wall clock beside one that nobody sets: notices that it was set, and how old a sample is all the same.

A device may start in 1970 and be told the time later, or be set to a wrong one and back. What lasts is
measured on the clock that only counts on; what somebody took down by the wall clock is read by the clock
as it was then.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

LEAST_JUMP_US: Final = 5_000_000
"""Less is what a time server corrects in passing."""
KEPT_STRETCHES: Final = 64
TOLD_EVERY_S: Final = 60.0
TOLD_AT_ONCE: Final = 5
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def steady_us() -> int:
    """Return microseconds since the machine started, its sleep included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


@dataclass(frozen=True)
class Stretch:
    """The time between two settings of the clock, in microseconds since 1970 by the clock as it was then.

    ``ahead_us``: the wall clock less the steady one.
    """

    begins_us: float
    ends_us: float
    ahead_us: int


class WallClock:
    """Times in microseconds; safe to use from several threads.

    A sample from before ``known_us``, when it surely was later, was taken by a wrong clock: it has no age.
    """

    def __init__(
        self,
        *,
        known_us: int = 0,
        wall_us: Callable[[], int] = lambda: time.time_ns() // 1000,
        steady_us: Callable[[], int] = steady_us,
    ) -> None:
        self._wall_us, self._steady_us, self._known_us = wall_us, steady_us, known_us
        self._lock = threading.Lock()
        self._set_by_us, self._looked_us = 0, steady_us()
        first = Stretch(float("-inf"), float("inf"), wall_us() - steady_us())
        self._stretches: deque[Stretch] = deque([first], maxlen=KEPT_STRETCHES)

    def set_by_s(self) -> float:
        """Return by how many seconds in all the clock was set so far."""
        with self._lock:
            self._look()
            return self._set_by_us / 1e6

    def age_us(self, at_us: int) -> int:
        """Return how long ago a sample was taken that says ``at_us``; where it may be younger, it is."""
        with self._lock:
            self._look()
            if at_us < self._known_us:
                return 0
            for stretch in reversed(self._stretches):
                if stretch.begins_us <= at_us <= stretch.ends_us:
                    return self._steady_us() + stretch.ahead_us - at_us
            return 0

    def _look(self) -> None:
        last, steady = self._stretches[-1], self._steady_us()
        jump = self._wall_us() - steady - last.ahead_us
        looked_us, self._looked_us = self._looked_us, steady
        if abs(jump) < LEAST_JUMP_US:
            return
        self._set_by_us += jump
        self._stretches[-1] = replace(last, ends_us=steady + last.ahead_us)
        ahead_us = last.ahead_us + jump
        # It may have been set at once after the last look.
        self._stretches.append(Stretch(looked_us + ahead_us, float("inf"), ahead_us))


@dataclass(frozen=True)
class Setting:
    """The clock was set so many ``times`` since it was told last, by ``seconds`` in all."""

    times: int
    seconds: float


class ClockSettings:
    """When it is worth acting on that the clock was set: at once, but not at each of many times.

    Two programs that set the clock against each other do so each second, for hours: acted on at each, the
    hub would be asked as often. Some are told at once, the rest together, a minute apart; none is forgotten.
    """

    def __init__(self, set_by_s: Callable[[], float], *, monotonic: Callable[[], float]) -> None:
        self._set_by_s, self._monotonic = set_by_s, monotonic
        self._told_s = self._seen_s = 0.0
        self._times = 0
        self._tokens, self._filled_at = float(TOLD_AT_ONCE), monotonic()

    def look(self) -> Setting | None:
        """Return what is to be told now; call it often."""
        now = self._monotonic()
        self._tokens = min(TOLD_AT_ONCE, self._tokens + (now - self._filled_at) / TOLD_EVERY_S)
        self._filled_at = now
        set_by_s = self._set_by_s()
        self._times += set_by_s != self._seen_s
        self._seen_s = set_by_s
        if not self._times or self._tokens < 1:
            return None
        self._tokens -= 1
        found = Setting(self._times, set_by_s - self._told_s)
        self._times, self._told_s = 0, set_by_s
        return found


def microseconds(at: datetime) -> int:
    """Return a time with a zone as microseconds since 1970."""
    return (at - EPOCH) // timedelta(microseconds=1)
