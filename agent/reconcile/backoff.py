"""Waits between tries, doubled up to a bound, and forgotten after a healthy spell."""

import threading
from collections.abc import Callable

FIRST_S = 1.0
LONGEST_S = 60.0
DISK_WAIT_S = 2.0
"""A disk that is full costs nothing to look at, and may have room again at any moment."""


class Backoff:
    """For each name: how long it has to wait now. Safe to use from several threads."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._waits: dict[str, tuple[float, float]] = {}  # (not before, length of the wait)

    def failed(self, name: str) -> float:
        """Wait from now on, twice as long as the last time; return the seconds."""
        with self._lock:
            _, before = self._waits.get(name, (0.0, FIRST_S / 2))
            wait_s = min(LONGEST_S, before * 2)
            self._waits[name] = (self._monotonic() + wait_s, wait_s)
        return wait_s

    def hold(self, name: str, wait_s: float) -> None:
        """Wait so long from now on, and as long as ever after the next failure: nothing went wrong."""
        with self._lock:
            _, before = self._waits.get(name, (0.0, FIRST_S / 2))
            self._waits[name] = (self._monotonic() + wait_s, before)

    def healthy(self, name: str) -> None:
        """Forget what went wrong."""
        with self._lock:
            self._waits.pop(name, None)

    def waiting(self) -> frozenset[str]:
        """Return the names that have to wait."""
        with self._lock:
            now = self._monotonic()
            return frozenset(name for name, (not_before, _) in self._waits.items() if not_before > now)

    def longest(self) -> frozenset[str]:
        """Return the names that wait as long as any has to, each time."""
        with self._lock:
            return frozenset(name for name, (_, wait_s) in self._waits.items() if wait_s >= LONGEST_S)
