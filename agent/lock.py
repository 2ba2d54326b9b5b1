"""One agent for one state folder: an exclusive `flock`, which ends with the process."""

import fcntl
import os
from pathlib import Path

from agent.errors import AlreadyRunningError


def lock_state(state_dir: Path) -> int:
    """Lock ``state_dir`` and return the descriptor that holds the lock until it is closed."""
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
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor
