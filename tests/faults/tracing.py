"""strace(1) on a process that runs: counts its system calls, or lets the N-th one kill it or fail."""

import contextlib
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LINE = re.compile(r"^(\d+)\s+(\w+)\(")
OF_A_CONTAINER = re.compile(r'^(\d+)\s+execve\("(?:/bin/sh|[^"]*/bin/x)"', re.MULTILINE)
"""Processes of containers: what is done to them is done to the module, not to its agent."""
STARTED = re.compile(r"^(\d+)\s+execve\(", re.MULTILINE)
"""Programs that the process started, of containers or not."""
KILLED = re.compile(r"^(\d+)\s+\+\+\+ killed by SIGKILL", re.MULTILINE)
ATTACH_TIMEOUT_S, DETACH_TIMEOUT_S = 60.0, 5.0


def why_not() -> str:
    """Return why there can be no test with strace here, or nothing."""
    return "" if shutil.which("strace") else "strace is missing (Debian, Ubuntu: apt install strace)"


@dataclass(frozen=True)
class Point:
    """The N-th call of a kind that one thread makes."""

    call: str
    number: int

    def __str__(self) -> str:
        return f"{self.call}#{self.number}"


@contextlib.contextmanager
def traced(pid: int, log: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Trace a process with all its threads and children until the block ends."""
    said = log.with_suffix(".said")
    with said.open("wb") as err:
        tracer = subprocess.Popen(["strace", "-f", "-p", str(pid), "-o", str(log), *options], stderr=err)
    try:
        deadline = time.monotonic() + ATTACH_TIMEOUT_S
        while "attached" not in (words := said.read_text()):
            if tracer.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"strace does not trace: {words}")
            time.sleep(0.005)
        yield tracer
    finally:
        tracer.terminate()
        try:
            tracer.wait(DETACH_TIMEOUT_S)
        except subprocess.TimeoutExpired:  # it waits for one that is frozen; the kernel lets go of all
            tracer.kill()
            tracer.wait()


def killing(point: Point) -> tuple[str, ...]:
    """Return the options by which the process dies instead of making the call."""
    inject = f"inject={point.call}:signal=SIGKILL:when={point.number}"
    return ("-e", f"trace=execve,{point.call}", "-e", inject)


def failing(point: Point, error: str) -> tuple[str, ...]:
    """Return the options by which the call fails, once."""
    inject = f"inject={point.call}:error={error}:when={point.number}"
    return ("-e", f"trace=execve,{point.call}", "-e", inject)


def counted(log: Path) -> Counter[str]:
    """Return by call how often that thread made it which did most; started programs do not count."""
    by_thread: dict[str, Counter[str]] = {}
    programs: set[str] = set()
    for line in log.read_text(errors="replace").splitlines():
        if found := LINE.match(line):
            by_thread.setdefault(found[1], Counter())[found[2]] += 1
            if found[2] == "execve":
                programs.add(found[1])
    most: Counter[str] = Counter()
    for thread, calls in by_thread.items():
        if thread not in programs:
            most |= calls
    return most


def points_of(counts: Counter[str]) -> list[Point]:
    """Return every point, in order of its call and number."""
    return [Point(call, number) for call in sorted(counts) for number in range(1, counts[call] + 1)]


def by_kind(points: list[Point], most: int) -> list[Point]:
    """Return at most so many points of each call, evenly chosen: those that open files are most of all."""
    calls = sorted({point.call for point in points})
    kinds = ([point for point in points if point.call == call] for call in calls)
    return [point for kind in kinds for point in spread(kind, most)]


def spread(points: list[Point], most: int) -> list[Point]:
    """Return at most so many points, evenly chosen."""
    if len(points) <= most:
        return points
    return [points[place * len(points) // most] for place in range(most)]
