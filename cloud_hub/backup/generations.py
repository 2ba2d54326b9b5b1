"""Generations after a restore: beyond whatever devices were given since the backup was made.

A restored hub would number on from where the backup was, and a device that holds a later document
of the same number would be taken for one that runs the new one. So each device's next generation is
far beyond. What a device says of itself once it is back counts as ever.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_hub.devices.rows import DeviceRow
from cloud_hub.rollouts.current import newest_generations
from cloud_hub.rollouts.documents import FARTHEST, held

ROOM = 1_000_000


def leave_room(session: Session) -> None:
    """Note for each device that it may hold a generation up to `ROOM` beyond what is known."""
    query = newest_generations()
    newest = {row[0]: row[1] for row in session.execute(query)}
    for row in session.scalars(select(DeviceRow)):
        generation = max(newest.get(row.id, 0), held(row.hello, row.reported)) + ROOM
        if generation < FARTHEST:
            row.hello = (row.hello or {}) | {"generation": generation}
