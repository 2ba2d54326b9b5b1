"""How long the kernel lets a task run before it looks for another: the least, for all that the agent starts.

From Linux 6.12 a task may ask for it (``sched_runtime`` of `sched_setattr(2)`); what it starts inherits it.
The scheduler (EEVDF) lets one that asks for less go first when it wakes; how much time each gets stays the
same. So a module that answers now and then does not wait until one that always computes has had its slice.
"""

import ctypes
import os
import platform
import struct
from typing import Final

LEAST_NS: Final = 100_000
SCHED_SETATTR: Final = {"x86_64": 314, "aarch64": 274, "armv7l": 380, "armv6l": 380, "riscv64": 274}
# Version 0 of `struct sched_attr`: size, policy, flags, nice, priority, runtime, deadline, period.
ATTRIBUTES: Final = struct.Struct("=IIQiIQQQ")


def ask_for_short_slices(task: int = 0, slice_ns: int = LEAST_NS) -> bool:
    """Ask for slices of ``slice_ns`` for a task (0: this thread) and what it starts from then on.

    0 ns are the kernel's own slices again. Return False, with nothing changed, where the task has another
    policy than the usual one, the system call is not known here, or the kernel refuses. Kernels before 6.12
    accept it without any effect.
    """
    number = SCHED_SETATTR.get(platform.machine())
    if number is None or os.sched_getscheduler(task) != os.SCHED_OTHER:
        return False
    nice = os.getpriority(os.PRIO_PROCESS, task)
    asked = ATTRIBUTES.pack(ATTRIBUTES.size, os.SCHED_OTHER, 0, nice, 0, slice_ns, 0, 0)
    return bool(ctypes.CDLL(None).syscall(number, task, asked, 0) == 0)
