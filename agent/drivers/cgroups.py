"""What the kernel's control groups can do here, version 1 or 2."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PROC = Path("/proc")


def is_unified() -> bool:
    """Return whether the groups are those of version 2."""
    return (ROOT / "cgroup.controllers").exists()


def swap_accounted() -> bool:
    """Return whether the swap of a container can be limited; if not, runc must not be asked to."""
    if is_unified():  # version 2: the root has no memory.swap.max to look at
        return Path("/proc/swaps").exists()
    return (ROOT / "memory/memory.memsw.limit_in_bytes").exists()


@contextmanager
def group_below(pid: int, name: str) -> Iterator[tuple[str, Path]]:
    """Make a group ``name`` below that of process ``pid``; yield what runc calls it, and its folder.

    It is one of version 2, or of the controller of processes: all that starts in it stays in it. Whoever
    asks ends what is in it: then it is deleted.
    """
    controller = "" if is_unified() else "pids"
    folder = _folder(controller, _group_of(pid, controller)) / name
    folder.mkdir()
    try:
        yield (f"{controller}:{name}" if controller else name), folder
    finally:
        with contextlib.suppress(OSError):  # deleted with the container's own
            folder.rmdir()


def processes_in(folder: Path) -> list[int]:
    """Return the processes of a group; none where it is gone."""
    try:
        return [int(line) for line in (folder / "cgroup.procs").read_text().split()]
    except OSError:
        return []


def killed_in(group: str) -> int:
    """Return how many processes of ``group`` (as runc names it) the kernel has killed for want of memory.

    0 where there is no such group: it is new, or gone. Also those count that did so in groups below it, and
    those that were killed as the whole device lacked memory.
    """
    name, controller = ("memory.events", "") if is_unified() else ("memory.oom_control", "memory")
    try:
        return killed((_folder(controller, group) / name).read_text())
    except OSError:
        return 0


def killed_beside(pid: int) -> int:
    """Return the same of the group that process ``pid`` is in, a container's: never the topmost."""
    try:
        group = _group_of(pid, "" if is_unified() else "memory")
    except (OSError, KeyError):  # it has ended, or the kernel counts no memory
        return 0
    # One that is about to end is shown in the topmost, where what the device ever killed is counted.
    return killed_in(group) if group != "/" else 0


def killed(text: str) -> int:
    """Return how many were killed by the text of ``memory.events`` or ``memory.oom_control``.

    Before Linux 4.13 neither says: 0.
    """
    rows = (line.split() for line in text.splitlines())
    return next((int(row[1]) for row in rows if len(row) == 2 and row[0] == "oom_kill"), 0)


def _folder(controller: str, group: str) -> Path:
    return ROOT / controller / group.lstrip("/")


def _group_of(pid: int, controller: str) -> str:
    """Return the group of a process by its controller: of version 2 that is nameless."""
    rows = (line.split(":", 2) for line in (PROC / str(pid) / "cgroup").read_text().splitlines())
    return {name: path for _, names, path in rows for name in names.split(",")}[controller]
