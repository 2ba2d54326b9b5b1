"""Rollouts after a restore: generations beyond whatever devices were given since the backup was made.

A restored hub would number on from where the backup was, and a device that holds a later document
of the same number would be taken for one that runs the new one. So each device's next generation is
far beyond. What a device says of itself once it is back counts as ever.
"""

from datetime import UTC, datetime

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_hub.devices.rows import DeviceRow
from cloud_hub.rollouts.current import newest_generations
from cloud_hub.rollouts.documents import FARTHEST, held
from cloud_hub.rollouts.rows import RolloutRow
from cloud_hub.rollouts.standing import keep, standing_of
from cloud_hub.rollouts.waves import ACTIVE

ROOM = 1_000_000


def leave_room(session: Session) -> None:
    """Note for each device that it may hold a generation up to `ROOM` beyond what is known."""
    query = newest_generations()
    newest = {row[0]: row[1] for row in session.execute(query)}
    for row in session.scalars(select(DeviceRow)):
        generation = max(newest.get(row.id, 0), held(row.hello, row.reported)) + ROOM
        if generation < FARTHEST:
            row.hello = (row.hello or {}) | {"generation": generation}


def hold_rollouts(session: Session) -> None:
    """Pause each rollout that was under way: nobody knows here what became of it since the backup."""
    now = datetime.now(UTC)
    for row in session.scalars(select(RolloutRow).where(RolloutRow.state.in_(ACTIVE))):
        held_up = msgspec.structs.replace(
            standing_of(row), state="paused", reason="the hub was restored from a backup"
        )
        keep(session, row, held_up, now)
