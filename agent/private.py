"""What in the state folder is nobody else's to read: documents, samples, models, logs.

The folder itself may be passed through: programs of other users reach the modules' sockets in ``run``.
"""

import contextlib
import os
import stat
from pathlib import Path

FOLDERS = ("identity", "desired", "containers", "content", "logs", "secrets")
MADE_HERE = ("desired", "containers", "content")
OUTBOX = "outbox.db"
OTHERS = 0o077


def make_private(state_dir: Path) -> None:
    """Make what is private the owner's alone, also what an earlier release left open.

    What cannot be changed stays as it is: `open_to_others` tells, and nothing else depends on it.
    """
    for name in MADE_HERE:
        with contextlib.suppress(OSError):
            (state_dir / name).mkdir(exist_ok=True, mode=0o700)
    with contextlib.suppress(OSError):
        # SQLite gives the files beside it the mode of the database.
        os.close(os.open(state_dir / OUTBOX, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    for path in _private(state_dir):
        with contextlib.suppress(OSError):
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & OTHERS:
                path.chmod(mode & ~OTHERS)


def open_to_others(state_dir: Path) -> list[str]:
    """Return what is private and others may read or write all the same."""
    return [path.name for path in _private(state_dir) if path.exists() and path.stat().st_mode & OTHERS]


def _private(state_dir: Path) -> list[Path]:
    return [*(state_dir / name for name in FOLDERS), *sorted(state_dir.glob(f"{OUTBOX}*"))]
