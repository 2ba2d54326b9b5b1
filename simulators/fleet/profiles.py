"""How devices of a group live: their link, their clock, and how slow they are."""

from typing import Annotated, Final

import msgspec

from simulators.fleet.behaviour import Behaviour, Span
from simulators.fleet.sensing import Sensor

DAY_S: Final = 86_400.0


class Cut(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From ``at_s`` after the begin on, the links of so large a ``share`` of a group are down ``for_s``."""

    at_s: Annotated[float, msgspec.Meta(ge=0)]
    for_s: Annotated[float, msgspec.Meta(gt=0)]
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A life: where ``up_s`` is given, the link is up and then down in turns, each time so long, without a
    goodbye; ``clock_ahead_s`` is how wrong the device's clock is.
    """

    up_s: Span | None = None
    down_s: Span = (20.0, 20.0)
    cuts: tuple[Cut, ...] = ()
    clock_ahead_s: float = 0.0
    behaviour: Behaviour = Behaviour()
    sensors: tuple[Sensor, ...] = ()

    @property
    def steady(self) -> bool:
        """Is its link up all the time?"""
        return self.up_s is None and not self.cuts


PROFILES: Final = {
    "always-on": Profile(),
    "flapping": Profile(up_s=(15.0, 25.0), down_s=(15.0, 25.0)),
    "sleeping": Profile(up_s=(30.0, 60.0), down_s=(240.0, 600.0)),
    "clock-behind": Profile(clock_ahead_s=-20_000 * DAY_S),
    "clock-ahead": Profile(clock_ahead_s=90 * DAY_S),
    "slow-disk": Profile(behaviour=Behaviour(pull_s=(30.0, 120.0), ready_s=(3.0, 8.0), stop_s=(1.0, 5.0))),
}
"""The profiles that a scenario may name."""
