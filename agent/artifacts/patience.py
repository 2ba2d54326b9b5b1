"""How long a pull waits for neighbours, so that one of many asks the hub and the others ask it. Pure.

Who finds a layer nowhere waits a random moment and looks again: then somebody may have begun. Who hears
that a neighbour is bringing it waits for that one, up to a bound.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

FIRST_STEP_S: Final = 0.5
LONGEST_STEP_S: Final = 5.0
GROWTH: Final = 1.5


class Heard(Enum):
    """What all neighbours together said of a layer."""

    NOTHING = "nothing"
    ABSENT = "absent"
    SOON = "soon"


@dataclass(frozen=True)
class Bounds:
    """Seconds that a layer is waited for at the most (0: never), and those of the random moment.

    Who waits in vain ends somewhere in the second half of the time, so that not all do at once.
    """

    wait_s: float = 0.0
    settle_s: float = 10.0


class Patience:
    """Of one pull of one layer; ``draw`` returns a number from 0 to 1, ``now`` is any time in seconds."""

    def __init__(self, bounds: Bounds, draw: Callable[[], float], now: float, *, leads: bool) -> None:
        self._bounds = bounds
        self._draw = draw
        self._until = now + bounds.wait_s * (1 + draw()) / 2
        self._leads = leads
        self._settled_at: float | None = None
        self._step_s = FIRST_STEP_S

    def wait_s(self, heard: Heard, now: float) -> float | None:
        """Return the seconds until the neighbours are asked again; none: it is our turn to ask the hub.

        Who ``leads``, as it asked the hub for the last layer, does not settle again.
        """
        until = self._until
        if heard is Heard.NOTHING or now >= until or (heard is Heard.ABSENT and self._leads):
            return None
        if heard is Heard.SOON:
            self._settled_at = None
        else:
            if self._settled_at is None:
                self._settled_at = now + self._draw() * min(self._bounds.settle_s, self._bounds.wait_s)
            until = min(until, self._settled_at)
            if now >= until:
                return None
        step_s, self._step_s = self._step_s, min(self._step_s * GROWTH, LONGEST_STEP_S)
        return min(step_s, until - now)
