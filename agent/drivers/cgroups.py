"""What the kernel's control groups can do here, version 1 or 2."""

from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def swap_accounted() -> bool:
    """Return whether the swap of a container can be limited; if not, runc must not be asked to."""
    if (ROOT / "cgroup.controllers").exists():  # version 2: the root has no memory.swap.max to look at
        return Path("/proc/swaps").exists()
    return (ROOT / "memory/memory.memsw.limit_in_bytes").exists()
