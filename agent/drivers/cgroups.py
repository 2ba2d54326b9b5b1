"""What the kernel's control groups can do here, version 1 or 2."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PROC = Path("/proc")


def swap_accounted() -> bool:
    """Return whether the swap of a container can be limited; if not, runc must not be asked to."""
    if _is_unified():  # version 2: the root has no memory.swap.max to look at
        return Path("/proc/swaps").exists()
    return (ROOT / "memory/memory.memsw.limit_in_bytes").exists()


@contextmanager
def group_below(pid: int, name: str) -> Iterator[tuple[str, Path]]:
    """Make a group ``name`` below that of process ``pid``; yield what runc calls it, and its folder.

    It is one of version 2, or of the controller of processes: all that starts in it stays in it. Whoever
    asks ends what is in it: then it is deleted.
    """
    controller, below = ("", ROOT) if _is_unified() else ("pids", ROOT / "pids")
    lines = (PROC / str(pid) / "cgroup").read_text().splitlines()
    paths = {line.split(":", 2)[1]: line.split(":", 2)[2] for line in lines}
    folder = below / paths[controller].lstrip("/") / name
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


def _is_unified() -> bool:
    return (ROOT / "cgroup.controllers").exists()
