"""What is mounted below a folder, and taking it away: what a killed program left, nobody else does."""

import ctypes
import os
from pathlib import Path
from typing import Final

from agent.drivers.port import DriverError

MNT_DETACH: Final = 2
MOUNTS: Final = Path("/proc/self/mountinfo")

_libc = ctypes.CDLL(None, use_errno=True)


def detach_below(folder: Path, what: str) -> None:
    """Take away each mount below ``folder``, the last mounted first; no error where none is.

    Whoever deletes a folder calls this before: what is mounted in it is not the folder's own. Raises
    `DriverError`, which calls the mounts ``what``, where one stays.
    """
    for place in mounted_below(folder):
        _libc.umount2(os.fsencode(place), MNT_DETACH)
    if left := mounted_below(folder):
        raise DriverError(f"cannot unmount {what}", where=str(left[0]), fix="Check dmesg.")


def mounted_below(folder: Path) -> list[Path]:
    """Return what is mounted below ``folder``, the last mounted first; also binds on one file system."""
    found, real = [], folder.resolve()  # the kernel names no symbolic links
    for line in MOUNTS.read_bytes().splitlines():
        # Blanks and the like in a name are octal: proc_pid_mountinfo(5).
        place = Path(os.fsdecode(line.split()[4].decode("unicode_escape").encode("latin-1")))
        if place.is_relative_to(real):
            found.append(place)
    return found[::-1]
