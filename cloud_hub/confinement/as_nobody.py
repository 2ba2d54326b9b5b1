"""Becomes another user before a sandbox is made; started as root by `cloud_hub.confinement.sandbox`, by path.

The kernel bounds the processes of everybody but root, so root makes no sandbox. The other user may not
reach what is to be seen in it, such as a Python below root's home: that is put before them over ``/tmp``,
in a mount namespace of this process alone. ``as_nobody.py PARENT '{"0": "/source"}' PROGRAM ARGUMENT...``
becomes the program, which ends with PARENT, the process that started this one. Standard library only.
"""

import ctypes
import json
import os
import signal
import stat
import sys
from pathlib import Path

NOBODY = 65534
PLACE = Path("/tmp")  # noqa: S108  a file system of its own, in memory
CLONE_NEWNS = 0x20000
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_SLAVE = 0x2, 0x4, 0x1000, 0x4000, 0x80000
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    """Raise what a call of the C library met."""
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def mount(source: str, target: Path, kind: bytes | None, flags: int) -> None:
    """Mount one thing, as the system call does."""
    result = _libc.mount(source.encode(), str(target).encode(), kind, ctypes.c_ulong(flags), None)
    check(result, f"mount {target}")


def show(sources: dict[str, str]) -> None:
    """Put folders and files below `PLACE`, by name."""
    check(_libc.unshare(CLONE_NEWNS), "unshare")
    mount("none", Path("/"), None, MS_REC | MS_SLAVE)
    # Opened before anything is mounted: they may lie where the new file system will be.
    opened = {name: os.open(source, os.O_PATH) for name, source in sources.items()}
    mount("tmpfs", PLACE, b"tmpfs", MS_NOSUID | MS_NODEV)
    for name, descriptor in opened.items():
        target = PLACE / name
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            target.mkdir()
        else:
            target.touch()
        mount(f"/proc/self/fd/{descriptor}", target, None, MS_BIND | MS_REC)
        os.close(descriptor)
    PLACE.chmod(0o755)


def become(user: int, parent: int) -> None:
    """Become a user without groups and rights, who ends with ``parent``."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    check(_libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0), "prctl")
    if os.getppid() != parent:
        sys.exit("its parent has ended")


def main() -> None:
    """Become the program."""
    try:
        os.umask(0o022)
        show(json.loads(sys.argv[2]))
        become(NOBODY, int(sys.argv[1]))
    except OSError as error:
        sys.exit(f"root may not make a mount namespace ({error.strerror}); run the hub as another user")
    os.execv(sys.argv[3], sys.argv[3:])  # noqa: S606  there is no shell to be had


if __name__ == "__main__":
    main()
