"""The command that makes a sandbox with bubblewrap, 0.8 or newer; looks at the machine, runs nothing."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

BWRAP: Final = "bwrap"
NOBODY: Final = "65534"
WORK: Final = "/work"
SHM_BYTES: Final = 64 << 20
SYSTEM: Final = Path("/usr")
_BESIDE: Final = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")
_OF_ETC: Final = ("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d")
_APART: Final = (
    *("--unshare-user", "--disable-userns", "--unshare-pid", "--unshare-ipc", "--unshare-uts"),
    *("--unshare-net", "--unshare-cgroup-try", "--die-with-parent", "--new-session", "--cap-drop", "ALL"),
    *("--uid", NOBODY, "--gid", NOBODY, "--hostname", "sandbox"),
)


def sandbox_command(
    program: Sequence[str], visible: Mapping[str, Path], *, work_bytes: int, root: bool | None = None
) -> list[str]:
    """Return the command that runs ``program`` in a sandbox.

    ``visible`` are folders and files by the place that they have inside, read-only, besides what
    programs of the machine need. ``root`` is whether this process is.
    """
    if os.geteuid() == 0 if root is None else root:
        return _by_root(program, visible, work_bytes)
    return _inner(program, visible, work_bytes)


def in_system(path: Path) -> bool:
    """Return whether every sandbox sees a path, because it is among the machine's programs."""
    return path.resolve().is_relative_to(SYSTEM)


def _inner(program: Sequence[str], visible: Mapping[str, Path], work_bytes: int) -> list[str]:
    size = ("--size", str(work_bytes), "--perms", "1777", "--tmpfs")
    command = [BWRAP, *_APART, *_system()]
    for place, source in sorted(visible.items()):
        command += ["--ro-bind", str(source), place]
    command += ["--proc", "/proc", "--dev", "/dev", "--size", str(SHM_BYTES), "--perms", "1777"]
    command += ["--tmpfs", "/dev/shm", *size, WORK, *size, "/tmp"]  # noqa: S108  its own, in memory
    # What bubblewrap stands the view on is memory too, without a bound: nobody may write there.
    return [*command, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", WORK, "--", *program]


def _by_root(program: Sequence[str], visible: Mapping[str, Path], work_bytes: int) -> list[str]:
    """Return a command whose sandbox another user makes: the kernel counts no processes of root.

    That user may not reach what is to be seen, such as a Python below root's home; so root first puts it
    before them, over ``/tmp``.
    """
    command = [BWRAP, "--die-with-parent", "--dev-bind", "/", "/", "--tmpfs", "/tmp"]  # noqa: S108
    passed = {}
    for number, (place, source) in enumerate(sorted(visible.items())):
        passed[place] = Path("/tmp", str(number))  # noqa: S108
        command += ["--ro-bind", str(source), str(passed[place])]
    command += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--"]
    command += ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--pdeathsig", "KILL"]
    return [*command, "--", *_inner(program, passed, work_bytes)]


def _system() -> list[str]:
    command = ["--ro-bind", str(SYSTEM), str(SYSTEM)]
    for name in _BESIDE:
        path = Path("/", name)
        if path.is_symlink():
            command += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            command += ["--ro-bind", str(path), str(path)]
    for name in _OF_ETC:
        command += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    return command
