"""How work is divided among those who are there. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Division:
    """What one hub holds from now on, and what it lets others have."""

    hold: frozenset[str]
    release: frozenset[str]


def divide(work: Collection[str], held_by: Mapping[str, str], lives: Collection[str], me: str) -> Division:
    """Return ``me``'s share of ``work``, where ``held_by`` says who holds what by a lease that counts.

    Nobody gets more than a fair share of those who live, and nothing is taken from another: who has
    too much gives it up. So work moves only when somebody comes or goes.
    """
    most = -(-len(work) // max(1, len(set(lives) | {me})))
    mine = sorted(each for each in work if held_by.get(each) == me)
    free = sorted(each for each in work if each not in held_by)
    hold = [*mine[:most], *free][:most]
    return Division(frozenset(hold), frozenset(mine[most:]))
