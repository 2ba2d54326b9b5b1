"""Where the devices of rollouts are, by what they last reported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UnsetType
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_hub.devices.rows import DeviceRow
from cloud_hub.rollouts.current import AT_ONCE, newest_generations
from cloud_hub.rollouts.rows import RolloutDeviceRow, RolloutRow
from cloud_hub.rollouts.waves import Member, Phase, is_away
from contract.agent_release import ORDERED_AS
from contract.messages import AgentReport, Reported


@dataclass(frozen=True)
class DeviceState:
    """Where a device of a rollout is, and when it was last heard of.

    ``pending``: its turn is to come; ``waiting``: it has not reported what it was given yet; then
    ``rolling``, ``deferred`` (its modules wait for their time, or for each other), ``running`` or ``failed``;
    ``returning`` and ``returned``: it is given what it had before; ``superseded``: another rollout has it;
    ``revoked``: nobody gives it anything.
    """

    device: str
    wave: int
    phase: Phase
    generation: int | None
    state: str
    moved_at: datetime | None
    ran_at: datetime | None
    unsettled_at: datetime | None
    seen_at: datetime | None
    excused: bool
    reported: Reported | None

    def is_away(self, away_s: float, now: datetime) -> bool:
        """Is it one that has yet to settle, and of which nothing is heard?"""
        unsettled = self.state in {"waiting", "rolling", "deferred", "returning"}
        return unsettled and is_away(self.moved_at, self.seen_at, away_s, now)


def progress(session: Session, rollouts: Sequence[int]) -> dict[int, list[DeviceState]]:
    """Return, by the id of each rollout, where its devices are: by wave, and in it as the manifest says."""
    found: dict[int, list[DeviceState]] = {rollout: [] for rollout in rollouts}
    newest = newest_generations().subquery()
    given = RolloutDeviceRow
    query = (
        select(
            given.rollout, given.device, given.wave, given.phase, given.generation, given.moved_at,
            given.ran_at, given.unsettled_at, given.excused, RolloutRow.images, newest.c.generation,
            DeviceRow.revoked_at, DeviceRow.last_seen_at, DeviceRow.reported,
        )
        .join(RolloutRow, RolloutRow.id == given.rollout)
        .join(DeviceRow, DeviceRow.id == given.device)
        .outerjoin(newest, newest.c.device == given.device)
        .order_by(given.wave, given.place, given.device)
    )  # fmt: skip
    for start in range(0, len(rollouts), AT_ONCE):
        some = query.where(given.rollout.in_(rollouts[start : start + AT_ONCE]))
        for row in session.execute(some):
            found[row[0]].append(_device_state(*row[1:]))
    return found


def _device_state(
    device: str,
    wave: int,
    phase: Phase,
    generation: int | None,
    moved_at: datetime | None,
    ran_at: datetime | None,
    unsettled_at: datetime | None,
    excused: bool,
    images: Mapping[str, str],
    current: int | None,
    revoked_at: datetime | None,
    seen_at: datetime | None,
    last: Mapping[str, Any] | None,
) -> DeviceState:
    reported = msgspec.convert(last, Reported) if last else None
    seen_since = seen_at is not None and moved_at is not None and seen_at > moved_at
    agent = ORDERED_AS in images
    state = _state(phase, generation, current, reported, seen_since=seen_since, agent=agent)
    if revoked_at is not None and state != "superseded":
        state = "revoked"
    return DeviceState(
        device, wave, phase, generation, state, moved_at, ran_at, unsettled_at, seen_at, excused, reported
    )


def _state(
    phase: Phase,
    generation: int | None,
    current: int | None,
    reported: Reported | None,
    *,
    seen_since: bool,
    agent: bool,
) -> str:
    if phase == "left" or (phase != "pending" and (current or 0) > (generation or 0)):
        return "superseded"
    if phase == "pending" or generation is None:
        return "pending"
    if reported is not None and reported.generation > (current or 0):
        return "superseded"  # by what a hub gave it of which this one, restored from before, knows nothing
    now = _reported_state(generation, seen_since, reported, agent=agent)
    if phase == "returned":
        return {"running": "returned", "failed": "failed"}.get(now, "returning")
    return now


def _reported_state(generation: int, seen_since: bool, reported: Reported | None, *, agent: bool) -> str:
    if reported is None:
        return "waiting"
    if reported.generation < generation:
        return "failed" if _refused(reported, generation, seen_since=seen_since) else "waiting"
    if any(module.state in {"failed", "rolled_back"} for module in reported.modules):
        return "failed"
    if agent and (isinstance(reported.agent, UnsetType) or reported.agent.state == "failed"):
        return "failed"  # the first: it is too old to know of the order
    changing = agent and isinstance(reported.agent, AgentReport) and reported.agent.state != "running"
    if reported.converged and not changing:
        return "running"
    unsettled = {module.state for module in reported.modules} - {"running", "exited"}
    return "deferred" if unsettled == {"waiting"} and not changing else "rolling"


def _refused(reported: Reported, generation: int, *, seen_since: bool) -> bool:
    """Is what it refused this document? One that could not be read has no generation that is known."""
    if reported.refused is None:
        return False
    refused = reported.refused.generation
    return seen_since if isinstance(refused, UnsetType) else refused == generation


def member_of(state: DeviceState, *, agent: bool) -> Member:
    """Return what the rules of a rollout look at; ``agent``: whether it gives a release of the agent."""
    return Member(
        device=state.device,
        wave=state.wave,
        phase=state.phase,
        moved_at=state.moved_at,
        seen_at=state.seen_at,
        ran_at=state.ran_at,
        unsettled_at=state.unsettled_at,
        state=state.state,
        reason=reason_of(state.reported, agent=agent) if state.state == "failed" else "",
        excused=state.excused,
        restarts=_restarts(state),
    )


def _restarts(state: DeviceState) -> int:
    """Return how often modules stopped by themselves, by what was said of this document."""
    said = state.reported
    if said is None or said.generation != state.generation:
        return 0
    return sum(module.restarts for module in said.modules if not isinstance(module.restarts, UnsetType))


def reason_of(reported: Reported | None, *, agent: bool) -> str:
    """Return what a device says of what is not well; ``agent``: whether it was given a release of that."""
    if reported is None:
        return ""
    reasons = [module.reason for module in reported.modules if module.reason]
    if reported.refused is not None:
        reasons.append(reported.refused.reason)
    if isinstance(reported.agent, AgentReport) and reported.agent.reason:
        reasons.append(f"agent: {reported.agent.reason}")
    if agent and isinstance(reported.agent, UnsetType):
        reasons.append("its agent is too old to be updated from here")
    return "; ".join(reasons)
