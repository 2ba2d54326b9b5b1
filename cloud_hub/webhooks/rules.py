"""Which events a webhook is told, and when what failed is sent again. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

PATTERN = re.compile(r"(?:[a-z0-9_]+|\*)(?:\.(?:[a-z0-9_]+|\*)){0,5}")
ENDS = ("activity.*.completed", "activity.*.failed", "activity.*.cancelled")


def activity_event(kind: str, state: str) -> str:
    """Return the type of an activity's new state; the specification asks for ``_`` in place of ``-``."""
    return f"activity.{kind.replace('-', '_')}.{state}"


def is_pattern(text: str) -> bool:
    """Is it an event type, in which ``*`` may stand for any one part?"""
    return len(text) <= 200 and PATTERN.fullmatch(text) is not None


def wants(patterns: Iterable[str], event: str) -> bool:
    """Is one of the patterns for this event?"""
    parts = event.split(".")
    for pattern in patterns:
        wanted = pattern.split(".")
        if len(wanted) == len(parts) and all(a in {"*", b} for a, b in zip(wanted, parts, strict=True)):
            return True
    return False


@dataclass(frozen=True)
class Schedule:
    """Seconds: the first wait, the longest, and the age at which a delivery is given up."""

    first_s: float = 5.0
    longest_s: float = 6 * 3600.0
    give_up_s: float = 3 * 86_400.0
    timeout_s: float = 15.0

    def wait_s(self, attempts: int, chance: float) -> float:
        """Return the wait after ``attempts`` failed ones: three times longer each, capped.

        ``chance`` from 0 to 1 takes up to half of it away, so that many do not come back together.
        """
        grown: float = self.first_s * 3 ** min(attempts - 1, 30)
        return min(self.longest_s, grown) * (1.0 - chance / 2)
