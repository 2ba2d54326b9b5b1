"""Where the root of a container with a user namespace is mounted: ``/run/headland-agent/SCOPE-ID/root``.

runc makes the mounts of such a container as the device's user who is its root, and that user may not pass
through the agent's state folder. Each folder here may be entered by that one user, and by root; nothing is
ever written here: there are mount points alone.
"""

import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from agent.drivers.id_ranges import IdRange
from agent.drivers.overlay import unmount_root
from agent.drivers.port import DriverError

log = logging.getLogger(__name__)

ROOTS: Final = Path("/run/headland-agent")
ROOT: Final = "root"


class Roots:
    """The roots of one agent's containers: those whose names begin with ``scope``."""

    def __init__(self, scope: str, folder: Path = ROOTS) -> None:
        self._scope, self._folder = scope, folder

    def make(self, container_id: str, ids: IdRange) -> Path:
        """Return the folder at which to mount a container's root; raises `OSError`."""
        self._folder.mkdir(exist_ok=True, mode=0o711)
        self._folder.chmod(0o711)  # whatever the umask
        place = self._place(container_id)
        place.mkdir(mode=0o700)
        os.chown(place, ids.first, ids.first)
        (place / ROOT).mkdir(mode=0o755)
        return place / ROOT

    def clear(self, container_id: str) -> None:
        """Unmount a container's root and remove its folders; nothing happens where there are none.

        Raises `DriverError` where the mount stays, and `OSError`. Nothing but empty folders is deleted.
        """
        place = self._place(container_id)
        unmount_root(place / ROOT)
        for folder in (place / ROOT, place):
            with contextlib.suppress(FileNotFoundError):
                folder.rmdir()

    def keep(self, known: Callable[[str], bool]) -> None:
        """Clear those of containers that are not ``known``: an agent of before may have removed them.

        What cannot be cleared stays, and nothing else depends on it.
        """
        for place in self._folder.glob(f"{self._scope}-*"):
            container_id = place.name.removeprefix(f"{self._scope}-")
            if known(container_id):
                continue
            try:
                self.clear(container_id)
            except (DriverError, OSError) as error:
                log.warning("the root of a container that is gone stays: %s", error)

    def _place(self, container_id: str) -> Path:
        return self._folder / f"{self._scope}-{container_id}"
