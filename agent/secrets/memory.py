"""Values in use: files that are in memory alone, one folder for each container.

With root it is a file system of the agent's own below the state folder (tmpfs, never swapped out where
the kernel knows ``noswap``, Linux 6.4). Without, it is a private folder where the system has one in memory
already: ``XDG_RUNTIME_DIR`` or ``/dev/shm``. It outlives the agent, as containers do, and ends with the
machine's life.
"""

import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from agent import tmpfs
from agent.secrets.errors import NoMemoryFolderError

MOUNT: Final = "secrets-in-use"
IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
OPTIONS: Final = "size=64m,mode=0700,nosuid,nodev,noexec"
MOUNTINFO: Final = Path("/proc/self/mountinfo")


class SecretMemory:
    """The folders of one agent's containers; two agents of a machine never meet."""

    def __init__(self, state_dir: Path) -> None:
        self._own = state_dir.absolute() / MOUNT
        scope = hashlib.sha256(os.fsencode(state_dir.resolve())).hexdigest()[:16]
        self._name = f"headland-{scope}"

    def give(self, container_id: str, files: Mapping[str, bytes], user: tuple[int, int]) -> Path:
        """Return a folder with ``files``, which only ``user`` (uid, gid) may read, and nobody write.

        Without root they are the agent's own user's, and the folder that they are in shuts all others out: a
        container of an engine that runs as another user finds them by its mount. Raises
        `NoMemoryFolderError` and `OSError`.
        """
        self.take_back(container_id)
        folder = self._place() / container_id
        folder.mkdir(mode=0o700)
        for name, value in files.items():
            descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
            with os.fdopen(descriptor, "wb") as file:
                file.write(value)
                if os.geteuid() == 0:
                    os.fchown(descriptor, *user)
                else:
                    os.fchmod(descriptor, 0o444)
        if os.geteuid() == 0:
            os.chown(folder, *user)
        folder.chmod(0o500 if os.geteuid() == 0 else 0o555)
        return folder

    def take_back(self, container_id: str) -> None:
        """Delete a container's folder; nothing happens where there is none."""
        for place in self._places():
            _delete(place / container_id)

    def keep(self, container_ids: Iterable[str]) -> None:
        """Delete the folders of all others; what is then empty goes whole."""
        kept = set(container_ids)
        for place in self._places():
            names = [entry.name for entry in os.scandir(place)]
            for name in names:
                if name not in kept:
                    _delete(place / name)
            if kept.isdisjoint(names):
                _leave(place)

    def _place(self) -> Path:
        """Return where folders are made now; raises `NoMemoryFolderError`."""
        if os.geteuid() == 0 and (_is_in_memory(self._own) or _mount(self._own)):
            return self._own
        for parent in _parents():
            place = parent / self._name
            if _is_in_memory(parent) and _is_private(place):
                return place
        raise NoMemoryFolderError(
            "no folder is in memory alone: no tmpfs can be mounted, XDG_RUNTIME_DIR and /dev/shm are none",
            where="secrets",
            fix="Run the agent as root, or mount a tmpfs at /dev/shm.",
        )

    def _places(self) -> Iterator[Path]:
        """Yield every place that there is, also one of an agent that was started another way."""
        if _is_in_memory(self._own):
            yield self._own
        for parent in _parents():
            place = parent / self._name
            if place.is_dir() and _is_private(place):
                yield place


def _parents() -> list[Path]:
    found = [Path(os.environ["XDG_RUNTIME_DIR"])] if os.environ.get("XDG_RUNTIME_DIR") else []
    return [*found, Path("/dev/shm")]  # noqa: S108  a folder of our own in it, which nobody else may enter


def _is_private(place: Path) -> bool:
    """Make a folder that is ours alone, or say that another's stands in its place."""
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        found = place.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def _is_in_memory(path: Path) -> bool:
    """Is what is written there kept in memory alone?"""
    try:
        device = path.stat().st_dev
    except OSError:
        return False
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in MOUNTINFO.read_text().splitlines():
        before, _, after = line.partition(" - ")
        if before.split(" ")[2] == wanted:
            return after.split(" ")[0] in IN_MEMORY
    return False


def _mount(place: Path) -> bool:
    place.mkdir(exist_ok=True, mode=0o700)
    return any(tmpfs.mount(place, "headland-secrets", options) for options in (f"{OPTIONS},noswap", OPTIONS))


def _leave(place: Path) -> None:
    """Remove a place that nobody uses."""
    tmpfs.unmount(place)
    try:
        place.rmdir()
    except OSError:
        return  # it is busy, or another's mount lies there: the next agent looks again


def _delete(folder: Path) -> None:
    if folder.is_dir() and not folder.is_symlink():
        folder.chmod(0o700)
        shutil.rmtree(folder)
