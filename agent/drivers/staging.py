"""Paths of the machine that were judged before a container gets them: bound by descriptor, not by name.

A runtime mounts by name, and what a name leads to can be changed after it was judged. So the agent binds the
very file or folder below the bundle, for as long as the runtime needs to mount it into the container.
"""

import contextlib
import ctypes
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from agent.drivers.mounted import detach_below
from agent.drivers.port import Mount

MS_BIND: Final = 4096
FOLDER: Final = "staged"

_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def staged(bundle: Path, mounts: tuple[Mount, ...]) -> Iterator[tuple[Mount, ...]]:
    """Yield ``mounts`` with a source below ``bundle`` for each that has a descriptor.

    Afterwards nothing is mounted there. Raises `OSError`, and `DriverError` where a mount stays.
    """
    folder = bundle / FOLDER
    try:
        yield tuple(
            replace(mount, source=_bound(folder / str(number), mount.descriptor))
            if mount.descriptor is not None
            else mount
            for number, mount in enumerate(mounts)
        )
    finally:
        unmount_staged(bundle)


def unmount_staged(bundle: Path) -> None:
    """Undo what `staged` left behind a kill; raises `DriverError` where a mount stays.

    Whoever deletes the bundle has to call this before: what is mounted there is the machine's.
    """
    detach_below(bundle / FOLDER, "what the container was given")


def _bound(place: Path, descriptor: int) -> Path:
    place.parent.mkdir(exist_ok=True, mode=0o700)
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        place.mkdir()
    else:
        place.touch()
    source = f"/proc/self/fd/{descriptor}".encode()
    if _libc.mount(source, os.fsencode(place), None, ctypes.c_ulong(MS_BIND), None) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return place
