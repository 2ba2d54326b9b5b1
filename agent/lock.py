"""One agent for one state folder: an exclusive `flock`, which ends with the process."""

import contextlib
import fcntl
import os
import time
from pathlib import Path

from agent.errors import AlreadyRunningError

RETRY_S = 0.02


def lock_state(state_dir: Path, *, wait_s: float = 0.0) -> int:
    """Lock ``state_dir`` and return the descriptor that holds the lock until it is closed.

    Raises `AlreadyRunningError` where another holds it for longer than ``wait_s``.
    """
    deadline = time.monotonic() + wait_s
    while True:
        try:
            return _lock(state_dir)
        except AlreadyRunningError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(RETRY_S)


def _lock(state_dir: Path) -> int:
    descriptor = os.open(state_dir / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise AlreadyRunningError(
            "another headland-agent works on this state folder",
            where=str(state_dir),
            fix="Stop it first, or choose another state_dir.",
        ) from error
    with contextlib.suppress(OSError):  # for people alone: a disk that is full must not keep the agent away
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
    return descriptor
