"""Finding models: filters, an order, and pages that stay right while models are registered."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import aliased

from cloud_hub.db.engine import Database
from cloud_hub.db.pages import Order, behind, cursor_at, named, ordered
from cloud_hub.experiments.rows import RunRow
from cloud_hub.models.rows import LabelKind, ModelFileRow, ModelLabelRow, ModelRow


@dataclass(frozen=True)
class Search:
    """What to find: all that is said must hold.

    ``name`` may have ``*`` and ``?``; ``tags`` and ``properties`` are ``key=value``, or ``key`` for any
    value; ``latest`` keeps the newest version of each name among those that the rest finds.
    """

    name: str | None = None
    tags: Sequence[str] = ()
    properties: Sequence[str] = ()
    framework: str | None = None
    run: str | None = None
    experiment: str | None = None
    digest: str | None = None
    created_by: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    latest: bool = False
    order: Order = "name"


@dataclass(frozen=True)
class Page:
    """Some of what was found; ``next`` is the cursor of the page behind it, if there is one."""

    items: list[ModelRow]
    next: str | None


def search(database: Database, workspace: str, what: Search, *, limit: int, cursor: str | None) -> Page:
    """Return a page of a workspace's models; raises `InvalidInputError` for a cursor that is none."""
    query = ordered(_select(workspace, what), ModelRow, what.order)
    if cursor is not None:
        query = query.where(behind(ModelRow, cursor, what.order))
    with database.reading() as session:
        rows = list(session.scalars(query.limit(limit + 1)).all())
    more = len(rows) > limit
    return Page(rows[:limit], cursor_at(rows[limit - 1], what.order) if more else None)


def _select(workspace: str, what: Search) -> Select[ModelRow]:
    conditions = [ModelRow.workspace == workspace, *_conditions(what)]
    if not what.latest:
        return select(ModelRow).where(*conditions)
    rank = func.row_number().over(partition_by=ModelRow.name, order_by=ModelRow.version.desc())
    ranked = select(ModelRow.id, rank.label("rank")).where(*conditions).subquery()
    return select(ModelRow).join(ranked, ranked.c.id == ModelRow.id).where(ranked.c.rank == 1)


def _conditions(what: Search) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if what.name is not None:
        found.append(named(ModelRow.name, what.name))
    found += [_labelled("tag", text) for text in what.tags]
    found += [_labelled("property", text) for text in what.properties]
    if what.framework is not None:
        found.append(ModelRow.framework == what.framework)
    if what.run is not None:
        found.append(ModelRow.run == what.run)
    if what.experiment is not None:
        runs = select(RunRow.id).where(
            RunRow.workspace == ModelRow.workspace, RunRow.experiment == what.experiment
        )
        found.append(ModelRow.run.in_(runs))
    if what.digest is not None:
        holding = select(ModelFileRow.model).where(ModelFileRow.digest == what.digest)
        found.append(or_(ModelRow.digest == what.digest, ModelRow.id.in_(holding)))
    if what.created_by is not None:
        found.append(ModelRow.created_by == what.created_by)
    if what.created_after is not None:
        found.append(ModelRow.created_at > what.created_after)
    if what.created_before is not None:
        found.append(ModelRow.created_at < what.created_before)
    return found


def _labelled(kind: LabelKind, text: str) -> ColumnElement[bool]:
    key, equals, value = text.partition("=")
    label = aliased(ModelLabelRow)
    held = select(label.model).where(label.kind == kind, label.key == key)
    return ModelRow.id.in_(held.where(label.value == value) if equals else held)
