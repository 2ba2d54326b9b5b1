"""What /proc says of processes: proc(5)."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class ProcessStat:
    """The fields of ``/proc/<pid>/stat`` that prove which process it is.

    ``started_ticks`` is in clock ticks since the machine started; ``wait_status`` is as `os.wait` has it, and
    counts of a zombie alone.
    """

    pid: int
    state: str
    session: int
    started_ticks: int
    parent: int = 0
    wait_status: int = 0

    @property
    def alive(self) -> bool:
        """Whether it runs; a zombie or a dead process does not."""
        return self.state not in {"Z", "X", "x"}


def parse_stat(text: str) -> ProcessStat:
    """Read a line of ``/proc/<pid>/stat``; the name in brackets may hold anything.

    Raises `ValueError` for another text.
    """
    head, bracket, tail = text.rpartition(")")
    fields = tail.split()
    if not bracket or len(fields) < 20:
        raise ValueError("not a line of /proc/<pid>/stat")
    pid = int(head.split(" ", 1)[0])
    return ProcessStat(
        pid=pid,
        state=fields[0],
        session=int(fields[3]),
        started_ticks=int(fields[19]),
        parent=int(fields[1]),
        wait_status=int(fields[49]) if len(fields) > 49 else 0,
    )


def stat_of(pid: int) -> ProcessStat | None:
    """Return what /proc says of ``pid``, or None where there is no such process."""
    try:
        return parse_stat((PROC / str(pid) / "stat").read_text(errors="replace"))
    except (FileNotFoundError, ProcessLookupError):
        return None


def boot_id() -> str:
    """Return the random name of this life of the machine."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def marked(marks: Mapping[str, str], *, session: int | None = None) -> list[int]:
    """Return the living processes (of ``session``, where given) whose environment holds all ``marks``."""
    wanted = {os.fsencode(f"{name}={value}") for name, value in marks.items()}
    found = []
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        stat = stat_of(int(entry.name))
        if stat is None or not stat.alive or (session is not None and stat.session != session):
            continue
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
        except OSError:  # it ended, or is another user's: not ours
            continue
        if wanted <= set(environment):
            found.append(stat.pid)
    return found
