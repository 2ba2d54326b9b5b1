"""One process at a time works on a data folder."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from cloud_hub.errors import HubRunningError


@contextlib.contextmanager
def hub_lock(data_dir: Path) -> Iterator[None]:
    """Hold the folder's lock; raises `HubRunningError` where another process does."""
    descriptor = os.open(data_dir / "hub.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise HubRunningError(
            "another hub works on this data folder", where=str(data_dir), fix="Stop it first."
        ) from error
    try:
        yield
    finally:
        os.close(descriptor)
