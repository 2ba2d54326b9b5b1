"""Time as a simulated device knows it: given from outside, so that it may also be virtual."""

import asyncio
from collections.abc import Callable
from typing import Protocol


class Timers(Protocol):
    """A steady clock, and calls at its times."""

    def now_s(self) -> float:
        """Return the seconds of a clock that nobody sets."""

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call after so long, never from within this call."""


class LoopTimers:
    """The event loop's own clock, which is `time.monotonic`: the same in every process of this machine."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def now_s(self) -> float:
        """See `Timers`."""
        return self._loop.time()

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """See `Timers`."""
        self._loop.call_later(seconds, call)
