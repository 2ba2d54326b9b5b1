"""What a rollout does next: pure, from its rules, where it stands, and where its devices are."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

State = Literal["running", "awaiting-approval", "paused", "aborting", "aborted", "done", "superseded"]
ACTIVE: frozenset[State] = frozenset({"running", "awaiting-approval", "aborting"})
"""States in which a rollout goes on by itself; in ``paused`` a person has to say how."""

Phase = Literal["pending", "moved", "returned", "left"]
"""``left``: another rollout took the device before this one gave it anything, or this one ended first."""

Outcome = Literal["under way", "away", "running", "failed", "gone"]
"""``away``: nothing was heard of it since; ``gone``: another rollout has it now."""

NAMED_AT_MOST = 3
MINUTE = timedelta(minutes=1)


class Share(msgspec.Struct, frozen=True):
    """So many devices, or a share of a wave."""

    count: int = 0
    percent: float | None = None

    def of(self, devices: int) -> int:
        """Return how many of so many it is."""
        return self.count if self.percent is None else math.floor(devices * self.percent / 100)


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """How a rollout goes over its devices; ``approvals`` are the waves that an Owner has to let begin."""

    waves: int
    at_once: int
    per_minute: int
    bake_s: float
    deadline_s: float
    away_s: float
    failures: Share
    on_failure: Literal["abort", "pause"]
    approvals: tuple[int, ...] = ()


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a rollout stands: its wave (from 0), since when that is settled, and the last wave approved."""

    state: State
    wave: int = 0
    settled_at: datetime | None = None
    approved: int = -1
    reason: str = ""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A device of a rollout: when it was given its document, when it was first heard of since, how it is.

    ``state`` is what its last report says of that document: `progress.DeviceState`. One that failed is
    ``excused`` where a person let the rollout go on nevertheless.
    """

    device: str
    wave: int
    phase: Phase
    moved_at: datetime | None = None
    heard_at: datetime | None = None
    state: str = "pending"
    reason: str = ""
    excused: bool = False


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Where the rollout stands now, who is given the new document, and who the one from before."""

    standing: Standing
    give: tuple[str, ...] = ()
    take_back: tuple[str, ...] = ()


def decide(rules: Rules, standing: Standing, members: Sequence[Member], now: datetime) -> Decision:
    """Return what to do; asked again at once, after it was done, it says to do nothing.

    One decision is one step: a wave that is over, then the next one's devices.
    """
    if standing.state == "aborting":
        return _abort(standing, members)
    if standing.state not in {"running", "awaiting-approval"}:
        return Decision(standing=standing)
    failure = _too_many_failed(rules, standing, members, now)
    if failure:
        state: State = "aborting" if rules.on_failure == "abort" else "paused"
        return Decision(standing=msgspec.structs.replace(standing, state=state, reason=failure))
    if standing.wave in rules.approvals and standing.approved < standing.wave:
        reason = f"wave {standing.wave + 1} waits for an Owner's approval"
        return Decision(standing=msgspec.structs.replace(standing, state="awaiting-approval", reason=reason))
    standing = msgspec.structs.replace(standing, state="running", reason="")
    return _go_on(rules, standing, members, now)


def outcome(rules: Rules, member: Member, now: datetime) -> Outcome:
    """Return how a device took what it was given."""
    if member.state == "superseded":
        return "gone"
    if member.state in {"running", "failed"}:
        return "running" if member.state == "running" else "failed"
    if member.heard_at is not None:
        return "failed" if now - member.heard_at > timedelta(seconds=rules.deadline_s) else "under way"
    moved_at = member.moved_at or now
    return "away" if now - moved_at > timedelta(seconds=rules.away_s) else "under way"


def _go_on(rules: Rules, standing: Standing, members: Sequence[Member], now: datetime) -> Decision:
    here = [member for member in members if member.wave == standing.wave]
    pending = [member.device for member in here if member.phase == "pending"]
    outcomes = [outcome(rules, member, now) for member in members if member.phase == "moved"]
    if pending:
        lately = sum(1 for m in members if m.moved_at is not None and now - m.moved_at < MINUTE)
        free = min(rules.at_once - outcomes.count("under way"), rules.per_minute - lately)
        return Decision(standing=standing, give=tuple(pending[: max(0, free)]))
    of_wave = [outcome(rules, member, now) for member in here if member.phase == "moved"]
    if "under way" in of_wave:
        return Decision(standing=standing)
    if not any(member.excused for member in here) and _nobody_runs_it(of_wave):
        reason = f"wave {standing.wave + 1}: none of its devices runs it, {of_wave.count('away')} are away"
        return Decision(standing=msgspec.structs.replace(standing, reason=reason))
    if standing.settled_at is None:
        standing = msgspec.structs.replace(standing, settled_at=now)
    baked_s = (now - (standing.settled_at or now)).total_seconds()
    if of_wave and baked_s < rules.bake_s:
        return Decision(standing=standing)
    if standing.wave + 1 >= rules.waves:
        return Decision(standing=msgspec.structs.replace(standing, state="done"))
    following = msgspec.structs.replace(standing, wave=standing.wave + 1, settled_at=None)
    return Decision(standing=following)


def _nobody_runs_it(outcomes: Sequence[Outcome]) -> bool:
    """Is there a device that could, and none that does? Then nothing is known of the new version."""
    return outcomes.count("gone") < len(outcomes) and "running" not in outcomes


def _abort(standing: Standing, members: Sequence[Member]) -> Decision:
    moved = tuple(m.device for m in members if m.phase == "moved" and m.state != "superseded")
    if moved:
        return Decision(standing=standing, take_back=moved)
    return Decision(standing=msgspec.structs.replace(standing, state="aborted"))


def _too_many_failed(rules: Rules, standing: Standing, members: Sequence[Member], now: datetime) -> str:
    """Return why the rollout cannot go on, or an empty text; a wave that is over is judged on."""
    for wave in range(standing.wave + 1):
        moved = [member for member in members if member.wave == wave and member.phase == "moved"]
        blamed = [member for member in moved if not member.excused]
        failed = [member for member in blamed if outcome(rules, member, now) == "failed"]
        size = sum(1 for member in members if member.wave == wave and member.phase != "left")
        if len(failed) > rules.failures.of(size):
            named = "; ".join(_why(rules, member) for member in failed[:NAMED_AT_MOST])
            more = f"; and {len(failed) - NAMED_AT_MOST} more" if len(failed) > NAMED_AT_MOST else ""
            allowed = rules.failures.of(size)
            counts = f"{len(failed)} of {size} devices failed, {allowed} may"
            return f"wave {wave + 1}: {counts} ({named}{more})"
    return ""


def _why(rules: Rules, member: Member) -> str:
    late = f"not settled {rules.deadline_s:g} s after it was heard of"
    reason = member.reason or ("failed" if member.state == "failed" else late)
    return f"{member.device}: {reason}"
