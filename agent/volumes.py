"""Named volumes: folders of the device that belong to one module each and outlive its containers."""

import contextlib
import logging
import os
import uuid
from pathlib import Path

from agent.deleting import delete
from contract.access import Volume

log = logging.getLogger(__name__)

DISCARD = ".discard"  # beside a volume that goes with its module; no volume's name has a dot
GONE = ".gone"


class Volumes:
    """``folder/MODULE/NAME``; what an earlier life was about to delete is deleted first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        if (folder / GONE).exists():
            delete(folder / GONE)

    def open(self, module: str, volume: Volume, owner: tuple[int, int]) -> Path:
        """Return the folder of a module's volume, made where it is not there; it belongs to ``owner``.

        What is in it belongs to whoever made it. Raises `OSError`.
        """
        place = self._folder / module / volume.name
        self._folder.mkdir(exist_ok=True, mode=0o700)
        place.parent.mkdir(exist_ok=True, mode=0o700)
        place.mkdir(exist_ok=True, mode=0o700)
        if os.geteuid() == 0:
            os.chown(place, *owner, follow_symlinks=False)
        mark = place.with_name(place.name + DISCARD)
        if volume.keep:
            mark.unlink(missing_ok=True)
        else:
            mark.touch()
        return place

    def forget(self, module: str) -> None:
        """The module is no longer desired: delete those of its volumes that are not to be kept."""
        for mark in (self._folder / module).glob(f"*{DISCARD}"):
            place = mark.with_name(mark.name.removesuffix(DISCARD))
            gone = self._folder / GONE / uuid.uuid4().hex
            gone.parent.mkdir(exist_ok=True, mode=0o700)
            with contextlib.suppress(FileNotFoundError):
                place.rename(gone)
            mark.unlink()
            delete(gone)
            log.info("module %s: its volume %s is deleted", module, place.name)
        with contextlib.suppress(OSError):
            (self._folder / module).rmdir()  # unless volumes are kept
