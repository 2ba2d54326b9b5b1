"""Which version of the agent runs: a pure function of a small state. No clock is asked.

A version is a slot: the digest's hex of a release on disk, or `PACKAGED`, the tree that the launcher is part
of. A slot that was never confirmed healthy runs at most `TRIES` times; then, and as soon as it is known to
have failed, the one confirmed last runs. A package that was installed since ends the use of all slots.
"""

from collections.abc import Set
from dataclasses import dataclass, replace
from typing import Final

PACKAGED: Final = ""
TRIES: Final = 3


@dataclass(frozen=True)
class Trial:
    """A slot that has yet to prove itself: what ran before it, and has to run with it.

    ``deadline_s`` bounds each try; ``needs_hub``: the version before it was connected.
    """

    slot: str
    version: str
    generation: int
    tries_left: int = TRIES
    deadline_s: float = 300.0
    needs_hub: bool = True
    modules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failed:
    """A version that was ordered in a generation and is not used, and why."""

    slot: str
    version: str
    generation: int
    reason: str


@dataclass(frozen=True)
class State:
    """``package`` names the packaged tree that the slots were chosen beside.

    Orders up to generation ``settled`` are dealt with. ``new_package``: that tree was replaced, and the
    document in force is not to undo it.
    """

    package: str = ""
    confirmed: str = PACKAGED
    previous: str = PACKAGED
    trial: Trial | None = None
    failed: Failed | None = None
    settled: int = 0
    new_package: bool = False


def choose(state: State, package: str, whole: Set[str]) -> tuple[State, str]:
    """Return what runs now of the slots that are ``whole`` on disk, and the state to write before it does."""
    if state.package != package:
        state = State(package=package, settled=state.settled, new_package=True)
    trial = state.trial
    if trial is not None and trial.slot in whole and trial.tries_left > 0:
        return replace(state, trial=replace(trial, tries_left=trial.tries_left - 1)), trial.slot
    if trial is not None:
        gone = trial.slot not in whole
        words = "it is not on the disk any more" if gone else f"it ended {TRIES} times before it was healthy"
        state = failed(state, words)
    return confirmed_one(state, whole)


def confirmed_one(state: State, whole: Set[str]) -> tuple[State, str]:
    """Return the slot confirmed last, or the one before it where it is gone, or else the packaged one."""
    if state.confirmed != PACKAGED and state.confirmed not in whole:
        older = state.previous if state.previous in whole else PACKAGED
        state = replace(state, confirmed=older, previous=PACKAGED)
    return state, state.confirmed


def armed(state: State, package: str, trial: Trial) -> State:
    """Let ``trial`` be what runs next."""
    return replace(state, package=package, trial=trial, failed=None, settled=trial.generation)


def confirmed(state: State) -> State:
    """The version on trial is healthy: it stays."""
    if state.trial is None:
        return state
    slot = state.trial.slot
    previous = state.previous if slot == state.confirmed else state.confirmed
    return replace(state, confirmed=slot, previous=previous, trial=None, failed=None)


def failed(state: State, reason: str) -> State:
    """The version on trial is not healthy: the one confirmed last runs again."""
    if state.trial is None:
        return state
    trial = state.trial
    told = Failed(trial.slot, trial.version, trial.generation, reason)
    return replace(state, trial=None, failed=told)


def refused(state: State, package: str, told: Failed) -> State:
    """An order is not followed: it is not asked for again in this generation."""
    return replace(state, package=package, failed=told, settled=max(state.settled, told.generation))


def ended(state: State, slot: str, reason: str) -> State:
    """A slot did not come to its work: a trial has failed, one confirmed long ago is damaged."""
    if state.trial is not None and state.trial.slot == slot:
        return failed(state, reason)
    if slot == state.confirmed != PACKAGED:
        older = state.previous if state.previous != slot else PACKAGED
        told = Failed(slot, "", state.settled, reason)
        return replace(state, confirmed=older, previous=PACKAGED, failed=told)
    return state


def dismissed(state: State, generation: int) -> State:
    """A package was installed: the order of the document in force, if there is one, is over."""
    return replace(state, settled=max(state.settled, generation), new_package=False)


def kept(state: State) -> frozenset[str]:
    """Return the slots that must stay on the disk."""
    named = {state.confirmed, state.previous, state.trial.slot if state.trial else PACKAGED}
    return frozenset(named - {PACKAGED})


def is_new(state: State, running: str, slot: str, generation: int) -> bool:
    """Is an order for ``slot`` to be followed, where ``running`` runs?"""
    return slot != running and generation > state.settled
