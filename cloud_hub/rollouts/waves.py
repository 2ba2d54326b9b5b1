"""What a rollout does next: pure, from its rules, where it stands, and where its devices are."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from cloud_hub.rollouts.queries import Answered, QueryGate, judged

State = Literal["running", "awaiting-approval", "paused", "aborting", "aborted", "done", "superseded"]
ACTIVE: frozenset[State] = frozenset({"running", "awaiting-approval", "aborting"})
"""States in which a rollout goes on by itself; in ``paused`` a person has to say how."""

Phase = Literal["pending", "moved", "returned", "left"]
"""``left``: another rollout took the device before this one gave it anything, or this one ended first."""

Outcome = Literal["under way", "away", "running", "failed", "gone"]
"""``away``: nothing is heard of it; ``gone``: another rollout has it now, or it was revoked."""

GONE = frozenset({"superseded", "revoked"})

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
    """How a rollout goes over its devices; ``approvals`` are the waves that an Owner has to let begin.

    ``queries`` are asked once a wave was watched. Nobody is given anything before ``begins_at``.
    """

    waves: int
    at_once: int
    per_minute: int
    bake_s: float
    deadline_s: float
    away_s: float
    failures: Share
    restarts: int | None = None
    on_failure: Literal["abort", "pause"]
    approvals: tuple[int, ...] = ()
    queries: tuple[QueryGate, ...] = ()
    begins_at: datetime | None = None


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a rollout stands: its wave (from 0), since when that is settled, and the last wave approved.

    ``passed`` is the last wave that a person let go on, whatever its queries say.
    """

    state: State
    wave: int = 0
    settled_at: datetime | None = None
    approved: int = -1
    passed: int = -1
    reason: str = ""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A device of a rollout: when it was given its document, when it last said anything, and how it is.

    ``state`` is what its last report says of that document (`progress.DeviceState`). ``ran_at`` is when it
    was first seen to run it, ``unsettled_at`` since when it is there and does not; `noted` keeps both. One
    that failed, or was away, is ``excused`` where a person let the rollout go on nevertheless. ``restarts``:
    how often its modules stopped by themselves since it has that document.
    """

    device: str
    wave: int
    phase: Phase
    moved_at: datetime | None = None
    seen_at: datetime | None = None
    ran_at: datetime | None = None
    unsettled_at: datetime | None = None
    state: str = "pending"
    reason: str = ""
    excused: bool = False
    restarts: int = 0


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Where the rollout stands now, who is given the new document, and who the one from before.

    ``ask``: the rules want to know what the queries answer now.
    """

    standing: Standing
    give: tuple[str, ...] = ()
    take_back: tuple[str, ...] = ()
    ask: bool = False


Answers = tuple[Answered, ...] | None
"""What the queries answered since the wave was watched; None where they were not asked yet."""


def decide(
    rules: Rules, standing: Standing, members: Sequence[Member], now: datetime, answers: Answers = None
) -> Decision:
    """Return what to do; asked again at once, after it was done, it says to do nothing.

    One decision is one step: a wave that is over, then the next one's devices.
    """
    if standing.state == "aborting":
        return _abort(standing, members)
    if standing.state not in {"running", "awaiting-approval"}:
        return Decision(standing=standing)
    failure = _too_many_failed(rules, standing, members, now)
    if failure:
        return _failed(rules, standing, failure)
    if rules.begins_at is not None and now < rules.begins_at:
        reason = f"begins at {rules.begins_at:%Y-%m-%d %H:%M:%S} UTC"
        return Decision(standing=msgspec.structs.replace(standing, state="running", reason=reason))
    if standing.wave in rules.approvals and standing.approved < standing.wave:
        reason = f"wave {standing.wave + 1} waits for an Owner's approval"
        return Decision(standing=msgspec.structs.replace(standing, state="awaiting-approval", reason=reason))
    standing = msgspec.structs.replace(standing, state="running", reason="")
    return _go_on(rules, standing, members, now, answers)


def _failed(rules: Rules, standing: Standing, reason: str) -> Decision:
    state: State = "aborting" if rules.on_failure == "abort" else "paused"
    return Decision(standing=msgspec.structs.replace(standing, state=state, reason=reason))


def noted(rules: Rules, member: Member, now: datetime) -> Member:
    """Return a member with what is to be kept of how it is now."""
    if member.phase != "moved":
        return member
    settled = member.state in {"running", "failed", "deferred", *GONE} or _is_away(rules, member, now)
    ran_at = member.ran_at or (now if member.state == "running" else None)
    unsettled_at = None if settled else member.unsettled_at or now
    return msgspec.structs.replace(member, ran_at=ran_at, unsettled_at=unsettled_at)


def outcome(rules: Rules, member: Member, now: datetime) -> Outcome:
    """Return how a device took what it was given."""
    if member.state in GONE:
        return "gone"
    if member.state == "failed" or _restarts_too_often(rules, member):
        return "failed"
    if member.state == "running":
        return "running"
    if _is_away(rules, member, now):
        return "away"
    late = now - (member.unsettled_at or now) > timedelta(seconds=rules.deadline_s)
    return "failed" if late else "under way"


def is_away(moved_at: datetime | None, seen_at: datetime | None, away_s: float, now: datetime) -> bool:
    """Was nothing heard of a device for so long, counted from when it was given its document?"""
    times = [at for at in (moved_at, seen_at) if at is not None]
    return bool(times) and now - max(times) > timedelta(seconds=away_s)


def _is_away(rules: Rules, member: Member, now: datetime) -> bool:
    return is_away(member.moved_at, member.seen_at, rules.away_s, now)


def _go_on(
    rules: Rules, standing: Standing, members: Sequence[Member], now: datetime, answers: Answers
) -> Decision:
    here = [member for member in members if member.wave == standing.wave and member.state not in GONE]
    pending = [member.device for member in here if member.phase == "pending"]
    if pending:
        outcomes = [outcome(rules, member, now) for member in members if member.phase == "moved"]
        lately = sum(1 for m in members if m.moved_at is not None and now - m.moved_at < MINUTE)
        free = min(rules.at_once - outcomes.count("under way"), rules.per_minute - lately)
        return Decision(standing=standing, give=tuple(pending[: max(0, free)]))
    of_wave = [member for member in here if member.phase == "moved" and not member.excused]
    by_outcome: dict[Outcome, list[Member]] = {}
    for member in of_wave:
        by_outcome.setdefault(outcome(rules, member, now), []).append(member)
    if changing := by_outcome.get("under way"):
        # One that ran it before, and is restarted, does not begin the bake time anew.
        anew = any(member.ran_at is None for member in changing)
        settled_at = None if anew else standing.settled_at
        return Decision(standing=msgspec.structs.replace(standing, settled_at=settled_at))
    away = by_outcome.get("away", [])
    if away and "running" not in by_outcome:
        reason = f"wave {standing.wave + 1}: none of its devices runs it, {len(away)} are away"
        return Decision(standing=msgspec.structs.replace(standing, reason=reason))
    return _bake(rules, standing, now, answers, anybody=bool(of_wave))


def _bake(rules: Rules, standing: Standing, now: datetime, answers: Answers, *, anybody: bool) -> Decision:
    """Watch a wave that is settled, then go on to the next one; one that nobody is left of is over."""
    if standing.settled_at is None:
        standing = msgspec.structs.replace(standing, settled_at=now)
    baked_s = (now - (standing.settled_at or now)).total_seconds()
    if anybody and baked_s < rules.bake_s:
        return Decision(standing=standing)
    if anybody and rules.queries and standing.passed < standing.wave:
        return _ask(rules, standing, answers, overdue=baked_s > rules.bake_s + rules.deadline_s)
    return _next(rules, standing)


def _ask(rules: Rules, standing: Standing, answers: Answers, *, overdue: bool) -> Decision:
    """Judge by the answers; without one a rollout waits, as long as a device may take."""
    if answers is None:
        return Decision(standing=standing, ask=True)
    verdict, wave = judged(rules.queries, answers), f"wave {standing.wave + 1}"
    if verdict.failed or (verdict.waits and overdue):
        return _failed(rules, standing, f"{wave}: {verdict.failed or verdict.waits}")
    if verdict.waits:
        reason = f"{wave} waits: {verdict.waits}"
        return Decision(standing=msgspec.structs.replace(standing, reason=reason), ask=True)
    return _next(rules, msgspec.structs.replace(standing, reason=f"{wave}: {verdict.passed}"))


def _next(rules: Rules, standing: Standing) -> Decision:
    if standing.wave + 1 >= rules.waves:
        return Decision(standing=msgspec.structs.replace(standing, state="done"))
    following = msgspec.structs.replace(standing, wave=standing.wave + 1, settled_at=None)
    return Decision(standing=following)


def _abort(standing: Standing, members: Sequence[Member]) -> Decision:
    moved = tuple(m.device for m in members if m.phase == "moved" and m.state not in GONE)
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


def _restarts_too_often(rules: Rules, member: Member) -> bool:
    return rules.restarts is not None and member.restarts > rules.restarts


def _why(rules: Rules, member: Member) -> str:
    if member.state != "failed" and _restarts_too_often(rules, member):
        return f"{member.device}: its modules restarted {member.restarts} times, {rules.restarts} may be"
    late = f"does not run it for {rules.deadline_s:g} s"
    reason = member.reason or ("failed" if member.state == "failed" else late)
    return f"{member.device}: {reason}"
