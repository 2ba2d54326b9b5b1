"""When a version of the agent is healthy: a pure function of what is seen."""

from collections.abc import Set
from dataclasses import dataclass

from agent.selfupdate.choice import Trial
from contract.messages import Reported

RUNS = frozenset({"running", "rolled_back"})
MOVES = frozenset({"pulling", "starting", "stopping"})


@dataclass(frozen=True)
class Seen:
    """``reported``: what the loop found in its last round, None before the first.

    ``heard``: the hub has answered this agent with a document that it signed.
    """

    reported: Reported | None
    desired: Set[str]
    connected: bool
    heard: bool


def running_modules(reported: Reported | None) -> tuple[str, ...]:
    """Return the modules that serve, in a version or another."""
    return tuple(each.name for each in reported.modules if each.state in RUNS) if reported else ()


def is_moving(reported: Reported | None) -> bool:
    """Is a module on its way from one version to another?"""
    return reported is None or any(each.state in MOVES for each in reported.modules)


def unmet(trial: Trial, seen: Seen) -> str:
    """Return the first thing that a version on trial still lacks, or an empty text: it is healthy."""
    if seen.reported is None:
        return "it has not looked at the device's containers"
    running = running_modules(seen.reported)
    missing = [name for name in trial.modules if name in seen.desired and name not in running]
    if missing:
        return f"module {missing[0]} does not run with it"
    if trial.needs_hub and not seen.connected:
        return "it is not connected to the hub"
    if trial.needs_hub and not seen.heard:
        return "the hub has not answered it"
    return ""
