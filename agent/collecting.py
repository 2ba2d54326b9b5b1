"""Python's collector of cycles in a process that runs for months: a full collection each ten seconds.

CPython keeps freed tuples for the next of their length, up to 2,000 of each length up to 20: nearly 5 MB
in all. Only a full collection lets go of them, and of cycles that outlived two others. By itself that comes
where new objects are a quarter as many as old ones: in a daemon that leaves nothing behind, late or never.
What is there when the daemon has started stays as long as it runs, and is not looked at again: so a
collection takes well under a millisecond.
"""

import gc
import time
from collections.abc import Callable
from typing import Final

EVERY_S: Final = 10.0


class Collector:
    """Collects each ``every_s`` seconds; its owner looks more often than that."""

    def __init__(
        self,
        *,
        every_s: float = EVERY_S,
        collect: Callable[[], object] = gc.collect,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._every_s, self._collect, self._now = every_s, collect, monotonic
        self._collected_at = monotonic()

    def begin(self) -> None:
        """Collect what the start left, and take the rest for what stays."""
        self._collect()
        gc.freeze()

    def look(self) -> None:
        """Collect, where it is time."""
        if (now := self._now()) - self._collected_at >= self._every_s:
            self._collected_at = now
            self._collect()
