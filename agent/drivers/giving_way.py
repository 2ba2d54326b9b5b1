"""Containers that use all they may have of the processor give way to those that do not.

The kernel gives groups of one weight their turns evenly. One in which many processes run without end has a
turn's length (some milliseconds) each time before who wakes up beside it, as a module that answers does. A
group that is idle (``cpu.idle``, Linux 5.15) gives up the processor at once to whoever wants it, and has all
that is left.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from agent.drivers.cgroups import CpuUse, cpu_use, let_give_way

WINDOW_S: Final = 5.0
BUSY: Final = 0.9
STARVED: Final = 0.5


@dataclass(frozen=True)
class Look:
    """What a group had used at one time of a monotonic clock, in seconds of the processor."""

    at_s: float
    used_s: float


def should_give_way(use: CpuUse, share: float) -> bool:
    """Say whether a group is to give way that had ``share`` (0 to 1) of what it may have.

    One that uses it all does. It does so for as long as it has half of it all the same: whoever gets less, or
    wants less, has its even turns again. So none is starved by it where the processor is short.
    """
    return share >= (STARVED if use.gives_way else BUSY)


@dataclass
class GivingWay:
    """Looks at the groups of some containers now and then; what was decided is kept by the kernel."""

    _looks: dict[str, Look] = field(default_factory=dict)

    def look(self, now_s: float, groups: Mapping[str, str]) -> None:
        """Judge each group, by container, that has been seen for `WINDOW_S`; forget all others."""
        self._looks = {one: look for one, look in self._looks.items() if one in groups}
        for container_id, group in groups.items():
            before = self._looks.get(container_id)
            if before is not None and now_s - before.at_s < WINDOW_S:
                continue
            use = cpu_use(group)
            if use is None:  # it has gone, or has no limit, or cannot give way
                self._looks.pop(container_id, None)
                continue
            self._looks[container_id] = Look(now_s, use.used_s)
            if before is None:
                continue
            share = (use.used_s - before.used_s) / ((now_s - before.at_s) * use.limit)
            gives_way = should_give_way(use, share)
            if gives_way != use.gives_way:
                with contextlib.suppress(OSError):  # it has gone, or is not ours to change
                    let_give_way(group, gives_way)
