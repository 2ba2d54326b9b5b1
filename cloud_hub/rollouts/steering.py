"""What people do to a rollout that is under way: pause, resume, abort, approve."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from cloud_hub.audit.actor import Actor
from cloud_hub.audit.service import Audit
from cloud_hub.db.engine import Database
from cloud_hub.errors import ConflictError
from cloud_hub.images.rows import ImageRow
from cloud_hub.rollouts.earlier import given_back
from cloud_hub.rollouts.moving import label
from cloud_hub.rollouts.progress import member_of, progress
from cloud_hub.rollouts.rows import RolloutDeviceRow, RolloutRow
from cloud_hub.rollouts.service import newest_revision
from cloud_hub.rollouts.standing import keep, rules_of, standing_of
from cloud_hub.rollouts.waves import Standing, State, outcome

GOES_ON: tuple[State, ...] = ("running", "awaiting-approval")


class Steering:
    """Steers the newest revision of a rollout; `Conductor` does what follows from it.

    Each raises `NotFoundError`, and `ConflictError` where the rollout is in no state for it.
    """

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit

    def pause(self, workspace: str, name: str, by: Actor) -> RolloutRow:
        """Give no further device its document; those that have it go on."""
        return self._set(workspace, name, "pause", GOES_ON, by, state="paused", reason="paused")

    def resume(self, workspace: str, name: str, by: Actor) -> RolloutRow:
        """Go on; what holds it up now does not again: devices that failed or are away, the wave's queries."""
        return self._set(workspace, name, "resume", ("paused",), by, state="running", reason="")

    def abort(self, workspace: str, name: str, by: Actor) -> RolloutRow:
        """Give each device back what it had before, unless another rollout has it; also when all is done."""
        able: tuple[State, ...] = (*GOES_ON, "paused", "done")
        return self._set(workspace, name, "abort", able, by, state="aborting", reason="aborted")

    def approve(self, workspace: str, name: str, by: Actor) -> RolloutRow:
        """Let the wave begin that waits for it."""
        return self._set(workspace, name, "approve", ("awaiting-approval",), by, state="running", reason="")

    def _set(
        self,
        workspace: str,
        name: str,
        action: str,
        able: Sequence[State],
        by: Actor,
        *,
        state: State,
        reason: str,
    ) -> RolloutRow:
        now = datetime.now(UTC)
        with self._database.transaction() as session:
            row = newest_revision(session, workspace, name, locked=True)
            standing = standing_of(row)
            if standing.state not in able or row.rules is None:
                raise ConflictError(
                    f"the rollout is {standing.state}: there is nothing to {action}",
                    where=label(row),
                    fix="`headland rollout show` says where it is.",
                )
            if action == "resume":
                _excuse(session, row)
            if action == "abort":
                _require_images_before(session, row)
            keep(session, row, _next(standing, action, state, reason), now, by=by.principal)
            self._audit.record(session, by, f"rollout.{action}", label(row), workspace=workspace)
        return row


def _next(standing: Standing, action: str, state: State, reason: str) -> Standing:
    approved = standing.wave if action == "approve" else standing.approved
    passed = standing.wave if action == "resume" else standing.passed
    return msgspec.structs.replace(standing, state=state, reason=reason, approved=approved, passed=passed)


def _excuse(session: Session, row: RolloutRow) -> None:
    """Let devices that failed, are late or away count no more."""
    rules, now, given = rules_of(row), datetime.now(UTC), RolloutDeviceRow
    members = [member_of(each, agent=False) for each in progress(session, [row.id])[row.id]]
    for member in members:
        if member.phase == "moved" and outcome(rules, member, now) in {"failed", "away"}:
            failed = (given.rollout == row.id) & (given.device == member.device)
            session.execute(update(given).where(failed).values(excused=True))


def _require_images_before(session: Session, row: RolloutRow) -> None:
    """Refuse to give devices back an image that was deleted since the rollout was done."""
    wanted = set[str]()
    for earlier in {rollout for _, rollout in given_back(session, row.id)}:
        wanted |= set(session.get_one(RolloutRow, earlier).images.values())
    there = select(ImageRow.name, ImageRow.version).where(ImageRow.workspace == row.workspace)
    missing = wanted - {f"{name}:{version}" for name, version in session.execute(there)}
    if missing:
        raise ConflictError(
            f"devices had images before that were deleted since: {', '.join(sorted(missing))}",
            where=label(row),
            fix="Apply a rollout of an image that is there.",
        )
