"""Where rollouts stand, kept in rows, with what became of each."""

from datetime import datetime
from typing import cast

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_hub.rollouts.rows import RolloutEventRow, RolloutRow
from cloud_hub.rollouts.waves import Rules, Standing, State


def standing_of(row: RolloutRow) -> Standing:
    """Return where a rollout stands."""
    return Standing(
        state=cast("State", row.state),
        wave=row.wave,
        settled_at=row.settled_at,
        approved=row.approved,
        passed=row.passed,
        reason=row.reason,
    )


def rules_of(row: RolloutRow) -> Rules:
    """Return how a rollout goes over its devices."""
    return msgspec.convert(row.rules, Rules)


def keep(session: Session, row: RolloutRow, standing: Standing, at: datetime, by: str | None = None) -> None:
    """Keep where a rollout stands, and an event where its state or its wave is another one now."""
    changed = (row.state, row.wave) != (standing.state, standing.wave)
    row.state, row.wave, row.reason = standing.state, standing.wave, standing.reason
    row.settled_at, row.approved, row.passed = standing.settled_at, standing.approved, standing.passed
    if changed or by is not None:
        tell(session, row, at, by=by)


def tell(session: Session, row: RolloutRow, at: datetime, *, by: str | None = None) -> None:
    """Keep an event: where the rollout stands now, and why."""
    event = RolloutEventRow(rollout=row.id, at=at, state=row.state, wave=row.wave, by=by, words=row.reason)
    session.add(event)


def events_of(session: Session, rollout: int) -> list[RolloutEventRow]:
    """Return what became of a rollout, oldest first."""
    query = select(RolloutEventRow).where(RolloutEventRow.rollout == rollout)
    return list(session.scalars(query.order_by(RolloutEventRow.id)).all())
