"""What the kernel's control groups can do here, version 1 or 2."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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


@dataclass(frozen=True)
class CpuUse:
    """What a group has used of the processor so far, in seconds, and how many processors it may have.

    ``gives_way``: whoever else wants the processor has it at once.
    """

    used_s: float
    limit: float
    gives_way: bool


def cpu_use(group: str) -> CpuUse | None:
    """Return what ``group`` (as runc names it) uses.

    None where it is gone or has no limit, and on a kernel on which it cannot give way (before Linux 5.15).
    """
    folder = _folder(_cpu(), group)
    try:
        gives_way = (folder / "cpu.idle").read_text().strip() == "1"
        if is_unified():
            rows = dict(line.split() for line in (folder / "cpu.stat").read_text().splitlines())
            used_s = int(rows["usage_usec"]) / 1e6
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            used_s = int((_folder("cpuacct", group) / "cpuacct.usage").read_text()) / 1e9
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text()
    except OSError:
        return None
    if not quota.isdigit():  # "max" or -1
        return None
    return CpuUse(used_s, min(int(quota) / int(period), os.cpu_count() or 1), gives_way)


def let_give_way(group: str, gives_way: bool) -> None:
    """Let ``group`` give way to whoever else wants the processor, or no more; raises `OSError`."""
    (_folder(_cpu(), group) / "cpu.idle").write_text("1" if gives_way else "0")


def cpu_group(pid: int) -> str | None:
    """Return the group of a process by its limit on the processor, as runc would name it."""
    try:
        return _group_of(pid, _cpu())
    except (OSError, KeyError):  # it has ended, or the kernel limits no processor
        return None


def _cpu() -> str:
    return "" if is_unified() else "cpu"


def _folder(controller: str, group: str) -> Path:
    return ROOT / controller / group.lstrip("/")


def _group_of(pid: int, controller: str) -> str:
    """Return the group of a process by its controller: of version 2 that is nameless."""
    rows = (line.split(":", 2) for line in (PROC / str(pid) / "cgroup").read_text().splitlines())
    return {name: path for _, names, path in rows for name in names.split(",")}[controller]
