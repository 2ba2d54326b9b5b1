"""Waiting for what happens elsewhere."""

import time
from collections.abc import Callable

TIMEOUT_S = 60.0


def until(happened: Callable[[], object], what: str = "it") -> None:
    """Return once ``happened()`` is true; fails after a minute."""
    end = time.monotonic() + TIMEOUT_S
    while not happened():
        assert time.monotonic() < end, f"{what} never happened"
        time.sleep(0.02)
