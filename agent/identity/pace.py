"""When a device renews its certificate, and how often it may ask; pure, with the time and the chance given.

A clock may be wrong, and may be set at any time: it says when a renewal is due, and the steady clock how
often one is tried. So no clock makes more than two tries an hour.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from agent.identity.validity import Validity

SHARE: Final = 2 / 3
SPREAD: Final = 1 / 12
"""Devices that were enrolled together do not all come together."""
FIRST_S: Final = 60.0
AFTER_FAILURE_S: Final = 1800.0
LONGEST_S: Final = 2 * 3600.0
AFTER_SUCCESS_S: Final = 12 * 3600.0


def due_at(held: Validity, chance: float) -> datetime:
    """Return when a certificate is renewed: from two thirds of its time on; ``chance`` is from 0 to 1."""
    return held.begins + (held.ends - held.begins) * (SHARE + SPREAD * chance)


class Pace:
    """How often the hub may be asked, in seconds of a clock that nobody sets."""

    def __init__(self, now_s: float, chance: Callable[[], float]) -> None:
        self._chance, self._failures = chance, 0
        # A daemon that ends and starts again and again asks no more often for it.
        self._next_s = now_s + FIRST_S * (1 + chance())

    def may_try(self, now_s: float) -> bool:
        """Is it time for a try?"""
        return now_s >= self._next_s

    def failed(self, now_s: float) -> None:
        """A try came to nothing."""
        wait_s = min(LONGEST_S, AFTER_FAILURE_S * 2**self._failures)
        self._failures += 1
        self._next_s = now_s + wait_s * (1 + self._chance() / 2)

    def succeeded(self, now_s: float) -> None:
        """There is a new certificate: whatever the clock says, it is not renewed at once."""
        self._failures = 0
        self._next_s = now_s + AFTER_SUCCESS_S
