"""The command that makes a sandbox with bubblewrap, 0.8 or newer; looks at the machine, runs nothing."""

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from cloud_hub.confinement.as_nobody import NOBODY, PLACE
from cloud_hub.confinement.errors import ChildLostError

BWRAP: Final = "bwrap"
FIRST: Final = Path(__file__).with_name("as_nobody.py")
WORK: Final = "/headland/work"
SHM_BYTES: Final = 64 << 20
SYSTEM: Final = Path("/usr")
_BESIDE: Final = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")
_OF_ETC: Final = ("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d")
_APART: Final = (
    *("--unshare-user", "--disable-userns", "--unshare-pid", "--unshare-ipc", "--unshare-uts"),
    *("--unshare-net", "--unshare-cgroup-try", "--die-with-parent", "--new-session", "--cap-drop", "ALL"),
    *("--uid", str(NOBODY), "--gid", str(NOBODY), "--hostname", "sandbox"),
)


def sandbox_command(
    program: Sequence[str], visible: Mapping[str, Path], *, work_bytes: int, root: bool | None = None
) -> list[str]:
    """Return the command that runs ``program`` in a sandbox.

    ``visible`` are folders and files by the place that they have inside, read-only, besides what
    programs of the machine need. ``root`` is whether this process is. Raises `ChildLostError` of the
    ending unavailable if bubblewrap is not there.
    """
    if os.geteuid() == 0 if root is None else root:
        return _by_root(program, visible, work_bytes)
    return _inner(_found(BWRAP), program, visible, work_bytes)


def in_system(path: Path) -> bool:
    """Return whether every sandbox sees a path, because it is among the machine's programs."""
    return path.resolve().is_relative_to(SYSTEM)


def _inner(bwrap: Path, program: Sequence[str], visible: Mapping[str, Path], work_bytes: int) -> list[str]:
    size = ("--size", str(work_bytes), "--perms", "1777", "--tmpfs")
    command = [str(bwrap), *_APART, *_system()]
    command += ["--proc", "/proc", "--dev", "/dev", "--size", str(SHM_BYTES), "--perms", "1777"]
    command += ["--tmpfs", "/dev/shm", *size, WORK, *size, "/tmp"]  # noqa: S108  its own, in memory
    for place, source in sorted(visible.items()):
        command += ["--ro-bind", str(source), place]
    # What bubblewrap stands the view on is memory too, without a bound: nobody may write there.
    return [*command, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", WORK, "--", *program]


def _by_root(program: Sequence[str], visible: Mapping[str, Path], work_bytes: int) -> list[str]:
    """Return the command of a sandbox that another user makes, with what is to be seen put before them."""
    names = {place: str(number) for number, place in enumerate(sorted(visible))}
    sources = {name: str(visible[place].absolute()) for place, name in names.items()}
    sources[BWRAP] = str(_found(BWRAP))
    passed = {place: PLACE / name for place, name in names.items()}
    first = [sys.executable, "-I", "-S", "-B", str(FIRST), str(os.getpid()), json.dumps(sources)]
    return [*first, *_inner(PLACE / BWRAP, program, passed, work_bytes)]


def _found(program: str) -> Path:
    path = shutil.which(program)
    if path is None:
        raise ChildLostError(f"{program} is not installed", "unavailable")
    return Path(path)


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
