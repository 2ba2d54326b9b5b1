"""Runs one command to its end, within a time and an amount of output."""

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from agent.drivers.port import Executed
from agent.drivers.spawn import POLL_S, spawn_writing

OUTPUT_MAX: Final = 16 * 1024
END_S: Final = 5.0


def execute(
    command: Sequence[str], env: Mapping[str, str], *, timeout_s: float, started: Callable[[], Iterable[int]]
) -> Executed:
    """Run ``command``; what it started, and ``started`` finds, is killed when it ends, or is out of time."""
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(writing, True)
    try:
        try:
            pid = spawn_writing(command, env, writing)
        finally:
            os.close(writing)
        output = bytearray()
        ended = _follow(pid, reading, output, time.monotonic() + timeout_s)
        kill_all(started)
        # Last, and by itself where it can: who has lost its parent is left to whoever adopts it, and until
        # that takes its end, the container that it was in cannot end.
        if not ended and not _follow(pid, reading, output, time.monotonic() + END_S):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        _drain(reading, output)
    finally:
        os.close(reading)
    code = os.waitstatus_to_exitcode(status)
    return Executed((code if code >= 0 else 128 - code) if ended else None, bytes(output))


def kill_all(started: Callable[[], Iterable[int]]) -> None:
    """Kill what ``started`` finds until it finds nothing any more: they may be starting others meanwhile."""
    deadline = time.monotonic() + END_S
    while (found := list(started())) and time.monotonic() < deadline:
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(POLL_S)


def _follow(pid: int, reading: int, output: bytearray, deadline: float) -> bool:
    """Read what the child prints until it ends; False where it does not in time. It is not reaped here."""
    ending = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(ending, select.POLLIN)
        poll.register(reading, select.POLLIN)
        while (left_s := deadline - time.monotonic()) > 0:
            ready = dict(poll.poll(left_s * 1000))
            if ending in ready:
                return True
            if reading in ready and not _drain(reading, output):
                poll.unregister(reading)
        return False
    finally:
        os.close(ending)


def _drain(reading: int, output: bytearray) -> bool:
    """Keep the first that was printed, drop the rest; False at its end."""
    with contextlib.suppress(BlockingIOError):
        for _ in range(64):  # whoever prints without end is not to hold us
            data = os.read(reading, 64 * 1024)
            if not data:
                return False
            output += data[: max(0, OUTPUT_MAX - len(output))]
    return True
