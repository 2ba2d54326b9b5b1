"""Which of a device's desired documents counts: that of its newest generation."""

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import aliased

from cloud_hub.rollouts.rows import DesiredRow, RolloutDeviceRow, RolloutRow
from cloud_hub.rollouts.waves import ACTIVE


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


def under_way(workspace: str) -> Select[Any]:
    """Return device, name, revision and images of what rollouts that have not ended may yet give.

    That is a rollout's own content where the device's turn is to come, and what the device had before it
    where it may have to be given back.
    """
    leading, given = aliased(RolloutRow), RolloutDeviceRow
    earlier = and_(DesiredRow.device == given.device, DesiredRow.generation == given.before)
    next_one = and_(given.phase == "pending", RolloutRow.id == given.rollout)
    back = and_(given.phase == "moved", RolloutRow.id == DesiredRow.rollout)
    rows = select(given.device, RolloutRow.name, RolloutRow.revision, RolloutRow.images)
    rows = rows.select_from(given).join(leading, leading.id == given.rollout)
    rows = rows.outerjoin(DesiredRow, earlier).join(RolloutRow, or_(next_one, back))
    unended = leading.state.in_((*ACTIVE, "paused"))
    return rows.where(leading.workspace == workspace, unended).order_by(RolloutRow.id, given.device)
