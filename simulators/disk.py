"""A disk whose power can be cut: ext4 or XFS in a file, on a loop device.

The cut is the kernel's own (`EXT4_IOC_SHUTDOWN`, `XFS_IOC_GOINGDOWN`, without flushing the journal): what was
not yet given to the disk is gone, and every later write fails. Mounting again replays the journal, as after a
real cut. What it does not show is a disk that loses what it said it had written.
"""

import errno
import fcntl
import os
import shutil
import struct
import subprocess
import time
from pathlib import Path
from typing import Final, Literal

FileSystem = Literal["ext4", "xfs"]
_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32) of fs/ext4/ext4.h and fs/xfs/libxfs/xfs_fs.h
_WITHOUT_FLUSHING_THE_JOURNAL = 2  # the same number in both
# Left to itself ext4 writes nothing for ten minutes: only who asks is safe. XFS has no such option.
_OPTIONS: Final[dict[FileSystem, str]] = {"ext4": "loop,commit=600", "xfs": "loop"}
_MAKE: Final[dict[FileSystem, tuple[str, ...]]] = {"ext4": ("-q", "-F"), "xfs": ("-q", "-f")}
_PACKAGES: Final = {"mkfs.ext4": "e2fsprogs", "mkfs.xfs": "xfsprogs", "mount": "mount", "umount": "mount"}
SIZE_BYTES = 1 << 30
BUSY_TIMEOUT_S = 60.0


def why_not(file_system: FileSystem = "ext4") -> str:
    """Return why there can be no such disk here, or nothing."""
    if os.geteuid() != 0:
        return "to mount a disk needs root"
    needed = (f"mkfs.{file_system}", "mount", "umount")
    missing = [program for program in needed if shutil.which(program) is None]
    if missing:
        return f"there is no {missing[0]} (Debian, Ubuntu: apt install {_PACKAGES[missing[0]]})"
    return "" if Path("/dev/loop-control").exists() else "there are no loop devices"


class DiskError(Exception):
    """The disk is not as it was asked for."""


class Disk:
    """One disk, mounted at ``folder / "disk"`` from the start."""

    def __init__(self, folder: Path, file_system: FileSystem = "ext4") -> None:
        self._options = _OPTIONS[file_system]
        self._image = folder / "disk.img"
        self.root = folder / "disk"
        self.root.mkdir()
        with self._image.open("wb") as file:
            file.truncate(SIZE_BYTES)
        _run(f"mkfs.{file_system}", *_MAKE[file_system], str(self._image))
        self.mount()

    def mount(self) -> None:
        """Mount it.

        A container that starts just then takes all mounts into its own namespace, and the disk without power
        with them: what is mounted is that one again, until the container let go of it.
        """
        deadline = time.monotonic() + BUSY_TIMEOUT_S
        _run("mount", "-o", self._options, str(self._image), str(self.root))
        while not self._has_power():
            if time.monotonic() > deadline:
                raise DiskError(f"another mount namespace still has {self.root}")
            self.unmount()
            time.sleep(0.05)
            _run("mount", "-o", self._options, str(self._image), str(self.root))

    def _has_power(self) -> bool:
        try:
            os.close(os.open(self.root, os.O_TMPFILE | os.O_WRONLY, 0o600))
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return False
        return True

    def cut(self) -> None:
        """Cut the power: what is not on the disk now never will be."""
        root = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(root, _SHUTDOWN, struct.pack("I", _WITHOUT_FLUSHING_THE_JOURNAL))
        finally:
            os.close(root)

    def sync(self) -> None:
        """Bring all to the disk that was written so far."""
        os.sync()

    def unmount(self) -> None:
        """Take it off, once the last process that has a file open there has ended."""
        deadline = time.monotonic() + BUSY_TIMEOUT_S
        while subprocess.run(["umount", str(self.root)], capture_output=True, check=False).returncode != 0:
            if time.monotonic() > deadline:
                raise DiskError(f"someone still uses {self.root}")
            time.sleep(0.05)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DiskError(f"{command[0]}: {done.stderr}")
