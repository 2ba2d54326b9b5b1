"""Waits for what real processes do in their own time."""

import time
from collections.abc import Callable

DEADLINE_S = 60.0


def wait_until(done: Callable[[], bool], what: str, *, within_s: float = DEADLINE_S) -> None:
    """Wait until ``done`` holds; fail where it does not in time."""
    deadline = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < deadline, f"not in {within_s:g} s: {what}"
        time.sleep(0.1)
