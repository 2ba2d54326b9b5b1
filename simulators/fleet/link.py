"""A device's way to its hub: up or down, by chance and by plan."""

from collections.abc import Callable
from random import Random

from simulators.fleet.profiles import Profile
from simulators.fleet.timers import Timers


def _nobody() -> None:
    """Nobody is told."""


class Link:
    """Down for as long as anything keeps it down; ``on_down`` is called each time that it goes down."""

    def __init__(self) -> None:
        self._kept_down_by = 0
        self.on_down: Callable[[], None] = _nobody

    @property
    def up(self) -> bool:
        """Does anything get through?"""
        return self._kept_down_by == 0

    def down(self) -> None:
        """One more thing keeps it down."""
        self._kept_down_by += 1
        if self._kept_down_by == 1:
            self.on_down()

    def mend(self) -> None:
        """One thing less keeps it down."""
        self._kept_down_by -= 1


def let_live(link: Link, profile: Profile, timers: Timers, chance: Random) -> None:
    """Take the link down and up as the profile says, from now on."""
    if profile.up_s is not None:
        _up_for_a_while(link, profile.up_s, profile.down_s, timers, chance)
    for cut in profile.cuts:
        if chance.random() < cut.share:
            timers.later(cut.at_s, link.down)
            timers.later(cut.at_s + cut.for_s, link.mend)


def _up_for_a_while(
    link: Link, up_s: tuple[float, float], down_s: tuple[float, float], timers: Timers, chance: Random
) -> None:
    def go_down() -> None:
        link.down()
        timers.later(chance.uniform(*down_s), come_up)

    def come_up() -> None:
        link.mend()
        timers.later(chance.uniform(*up_s), go_down)

    timers.later(chance.uniform(*up_s), go_down)
