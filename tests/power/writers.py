"""Those who write to a disk whose power is cut: brought to a stand, so that none is inside the kernel.

An fsync that is under way while ext4 is shut down can say that all is well, though its transaction was given
up: the file system has no power to lose. A machine without power tells nobody anything. So writers are
stopped first, between two calls, and go on when the disk is gone: from then on each write fails.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

STOPPED = {"T", "t", "Z", "X"}
TIMEOUT_S, PATIENCE_S = 30.0, 1.0


@contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """Stop a process and all that it started until the block ends; nothing happens where it has ended."""
    deadline = time.monotonic() + TIMEOUT_S
    while not _all_stand(found := _with_children(pid)):
        # One that starts a program waits in the kernel for its child, which was stopped before that began.
        _signal(found, signal.SIGCONT)
        assert time.monotonic() < deadline, "a writer does not stand still"
        time.sleep(0.005)
    try:
        yield
    finally:
        _signal(found, signal.SIGCONT)


def _all_stand(pids: list[int]) -> bool:
    """Stop them; return whether they stand soon."""
    _signal(pids, signal.SIGSTOP)
    deadline = time.monotonic() + PATIENCE_S
    while not all(_stands(one) for one in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.001)
    return True


def _with_children(pid: int) -> list[int]:
    try:
        process = psutil.Process(pid)
        return [pid, *(child.pid for child in process.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def _stands(pid: int) -> bool:
    """Does every thread stand? One that is in an fsync does so when that has returned."""
    return all(_state(task) in STOPPED for task in Path(f"/proc/{pid}/task").glob("*/stat"))


def _state(task: Path) -> str:
    try:
        return task.read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "X"


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
