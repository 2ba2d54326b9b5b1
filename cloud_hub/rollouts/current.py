"""Which of a device's desired documents counts: that of its newest generation."""

from typing import Any

from sqlalchemy import Select, func, select

from cloud_hub.rollouts.rows import DesiredRow, RolloutRow


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
