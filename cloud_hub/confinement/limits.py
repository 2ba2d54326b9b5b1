"""What a confined child may use."""

from dataclasses import dataclass

MIB = 1024**2


@dataclass(frozen=True)
class ChildLimits:
    """Bounds of one child; the kernel keeps all but ``wall_s`` and ``answer_bytes``.

    ``memory_bytes`` bounds its address space, and so what can be resident. ``file_bytes`` is the
    largest file that it may write; 0 means that it can write none. ``may_fork`` is for a program that
    has to start others, such as a compiler: each gets the same bounds, and all end with the child.
    """

    memory_bytes: int
    cpu_s: int
    wall_s: float
    file_bytes: int = 0
    open_files: int = 32
    answer_bytes: int = 4 * MIB
    may_fork: bool = False


@dataclass(frozen=True)
class SandboxLimits:
    """Bounds of one sandbox; the kernel keeps all but ``wall_s`` and ``answer_bytes``.

    ``memory_bytes``, ``cpu_s``, ``file_bytes`` and ``open_files`` bound each process; there are at most
    ``processes``, and all that they write is in memory: ``work_bytes`` below ``/headland/work``, as much
    again below ``/tmp``.
    """

    memory_bytes: int = 4096 * MIB
    cpu_s: int = 1800
    wall_s: float = 3600.0
    file_bytes: int = 1024 * MIB
    work_bytes: int = 2048 * MIB
    answer_bytes: int = 512 * MIB
    processes: int = 256
    open_files: int = 1024
