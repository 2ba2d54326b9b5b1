"""Looks at a process over time: memory, descriptors, threads, processor time, disk; and judges what it saw.

What is judged is pure: it is given the looks. A slope is that of a least-squares line, and its error is that
of 95 in 100: through the means of `BLOCKS` parts of the time, as looks that follow one another are alike.
"""

import math
import os
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MIB: Final = 1 << 20
BLOCKS: Final = 20
STUDENT: Final = 2.101  # two-sided 95 %, BLOCKS - 2 degrees of freedom
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Look:
    """A process at ``at_s``: bytes of memory and on disk, its own and its children's processor time."""

    at_s: float
    pss_bytes: int
    rss_bytes: int
    private_bytes: int
    fds: int
    threads: int
    cpu_s: float
    children_cpu_s: float
    disk_bytes: int


@dataclass(frozen=True)
class Slope:
    """Change for an hour, and how far it may be off (95 %)."""

    per_h: float
    error_per_h: float


@dataclass(frozen=True)
class Bounds:
    """What a process may grow by an hour, and how well that has to be known."""

    rss_bytes_per_h: float = MIB
    error_bytes_per_h: float = 4 * MIB
    disk_bytes_per_h: float = MIB


def look(pid: int, folder: Path) -> Look:
    """Look at a process and at the folder that it writes to; proc(5)."""
    proc = Path(f"/proc/{pid}")
    memory = {"Pss": 0, "Rss": 0, "Private_Dirty": 0, "Private_Clean": 0}
    for line in (proc / "smaps_rollup").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in memory:
            memory[name] = int(value.split()[0]) * 1024
    times = [
        int(text) / TICKS_PER_S for text in (proc / "stat").read_text().rpartition(")")[2].split()[11:15]
    ]
    return Look(
        at_s=time.monotonic(),
        pss_bytes=memory["Pss"],
        rss_bytes=memory["Rss"],
        private_bytes=memory["Private_Dirty"] + memory["Private_Clean"],
        fds=len(list((proc / "fd").iterdir())),
        threads=len(list((proc / "task").iterdir())),
        cpu_s=times[0] + times[1],
        children_cpu_s=times[2] + times[3],
        disk_bytes=_on_disk(folder),
    )


def watch(pid: int, folder: Path, seconds: float, each_s: float) -> list[Look]:
    """Look at a process each ``each_s`` seconds."""
    looks = [look(pid, folder)]
    ends_at_s = looks[0].at_s + seconds
    while (left_s := ends_at_s - time.monotonic()) > 0:
        time.sleep(min(each_s, left_s))
        looks.append(look(pid, folder))
    return looks


def slope(looks: Sequence[Look], value: Callable[[Look], float]) -> Slope:
    """Return how a value changes; of unknown error where a part of the time has no look."""
    begin_s, span_s = looks[0].at_s, looks[-1].at_s - looks[0].at_s
    blocks: list[list[Look]] = [[] for _ in range(BLOCKS)]
    for each in looks:
        blocks[min(BLOCKS - 1, int((each.at_s - begin_s) / span_s * BLOCKS))].append(each)
    full = [block for block in blocks if block]
    hours = [statistics.fmean(each.at_s for each in block) / 3600 for block in full]
    values = [statistics.fmean(value(each) for each in block) for block in full]
    line = statistics.linear_regression(hours, values)
    if len(full) < BLOCKS:
        return Slope(line.slope, math.inf)
    left = [v - line.slope * h - line.intercept for h, v in zip(hours, values, strict=True)]
    middle = statistics.fmean(hours)
    spread = sum((h - middle) ** 2 for h in hours)
    error = (sum(each * each for each in left) / (BLOCKS - 2) / spread) ** 0.5
    return Slope(line.slope, STUDENT * error)


def growing(looks: Sequence[Look], bounds: Bounds | None = None) -> list[str]:
    """Return in words what grew: memory or disk beyond its bound and the error, or descriptors and threads.

    Memory that cannot be told from growing is a fault too: then the watch was too short.
    """
    held = bounds or Bounds()
    faults = []
    memory, disk = slope(looks, lambda each: each.rss_bytes), slope(looks, lambda each: each.disk_bytes)
    if memory.per_h - memory.error_per_h > held.rss_bytes_per_h:
        faults.append(f"memory grows by {told(memory)} MiB/h")
    elif memory.error_per_h > held.error_bytes_per_h:
        faults.append(f"memory: the slope {told(memory)} MiB/h is not known well enough")
    if disk.per_h - disk.error_per_h > held.disk_bytes_per_h:
        faults.append(f"disk grows by {told(disk)} MiB/h")
    half = len(looks) // 2
    for name, counts in (
        ("descriptors", [each.fds for each in looks]),
        ("threads", [e.threads for e in looks]),
    ):
        # Not the most: while a line is made again there are two for a moment, and a look may meet it.
        before, after = statistics.median(counts[:half]), statistics.median(counts[half:])
        if after > before:
            faults.append(f"{name}: {before:g}, then {after:g}")
    return faults


def told(found: Slope) -> str:
    """Return a slope of bytes in MiB an hour."""
    return f"{found.per_h / MIB:+.2f} ± {found.error_per_h / MIB:.2f}"


def share(looks: Sequence[Look], *, children: bool) -> float:
    """Return the share of one processor between the first look and the last, in per cent."""
    first, last = looks[0], looks[-1]
    used_s = last.children_cpu_s - first.children_cpu_s if children else last.cpu_s - first.cpu_s
    return 100 * used_s / (last.at_s - first.at_s)


def _on_disk(folder: Path) -> int:
    return sum(_blocks(Path(root) / name) for root, _, names in os.walk(folder) for name in names) * 512


def _blocks(path: Path) -> int:
    try:
        return path.lstat().st_blocks
    except OSError:  # it was replaced just now
        return 0


def parts(looks: Sequence[Look], after_s: float) -> Iterable[Look]:
    """Yield the looks from ``after_s`` seconds on: what a start brings is not growth."""
    return (each for each in looks if each.at_s - looks[0].at_s >= after_s)
