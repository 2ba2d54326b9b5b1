"""Which of a device's desired documents counts: that of its newest generation."""

from typing import Any

from sqlalchemy import ColumnElement, Select, func, select

from cloud_hub.rollouts.rows import DesiredRow, RolloutDeviceRow, RolloutRow

AT_ONCE = 500
"""So many devices in one query: databases bound the values of one."""


def newest_generations() -> Select[str, int]:
    """Return the newest generation of each device, as ``device`` and ``generation``."""
    newest = func.max(DesiredRow.generation).label("generation")
    return select(DesiredRow.device, newest).group_by(DesiredRow.device)


def current(*columns: Any) -> Select[Any]:  # noqa: ANN401  mapped columns
    """Return columns of `DesiredRow` and `RolloutRow`, of what is desired of each device now."""
    newest = newest_generations().subquery()
    of_newest = (newest.c.device == DesiredRow.device) & (newest.c.generation == DesiredRow.generation)
    rows = select(*columns).select_from(DesiredRow).join(newest, of_newest)
    return rows.join(RolloutRow, RolloutRow.id == DesiredRow.rollout)


def has_content() -> ColumnElement[bool]:
    """Is a document one that gives its rollout's images, and not the empty one of a device that had none?"""
    emptied = select(RolloutDeviceRow).where(
        RolloutDeviceRow.rollout == DesiredRow.rollout,
        RolloutDeviceRow.device == DesiredRow.device,
        RolloutDeviceRow.phase == "returned",
        RolloutDeviceRow.generation == DesiredRow.generation,
    )
    return ~emptied.exists()
