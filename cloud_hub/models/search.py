"""Finding models: filters, an order, and pages that stay right while models are registered."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

import msgspec
from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import aliased

from cloud_hub.db.engine import Database
from cloud_hub.errors import InvalidInputError
from cloud_hub.experiments.rows import RunRow
from cloud_hub.models.rows import LabelKind, ModelFileRow, ModelLabelRow, ModelRow

Order = Literal["name", "-name", "created", "-created"]
ORDERS: tuple[str, ...] = get_args(Order)
MOST = 500


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


class _Cursor(msgspec.Struct, frozen=True, array_like=True):
    order: str
    id: int
    name: str = ""
    version: int = 0
    created_at: datetime | None = None


def search(database: Database, workspace: str, what: Search, *, limit: int, cursor: str | None) -> Page:
    """Return a page of a workspace's models; raises `InvalidInputError` for a cursor that is none."""
    query = _ordered(_select(workspace, what), what.order)
    if cursor is not None:
        query = query.where(_behind(_read(cursor, what.order), what.order))
    with database.reading() as session:
        rows = list(session.scalars(query.limit(limit + 1)).all())
    more = len(rows) > limit
    return Page(rows[:limit], _write(rows[limit - 1], what.order) if more else None)


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
        globbed = "*" in what.name or "?" in what.name
        found.append(
            ModelRow.name.like(_like(what.name), escape="\\") if globbed else ModelRow.name == what.name
        )
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


def _like(pattern: str) -> str:
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%").replace("?", "_")


def _ordered(query: Select[ModelRow], order: Order) -> Select[ModelRow]:
    match order:
        case "name":
            return query.order_by(ModelRow.name, ModelRow.version)
        case "-name":
            return query.order_by(ModelRow.name.desc(), ModelRow.version.desc())
        case "created":
            return query.order_by(ModelRow.created_at, ModelRow.id)
        case "-created":
            return query.order_by(ModelRow.created_at.desc(), ModelRow.id.desc())


def _behind(cursor: _Cursor, order: Order) -> ColumnElement[bool]:
    first: Any
    second: Any
    values: tuple[Any, int]
    if order in {"name", "-name"}:
        first, second, values = ModelRow.name, ModelRow.version, (cursor.name, cursor.version)
    else:
        first, second, values = ModelRow.created_at, ModelRow.id, (cursor.created_at, cursor.id)
    if order.startswith("-"):
        return or_(first < values[0], and_(first == values[0], second < values[1]))
    return or_(first > values[0], and_(first == values[0], second > values[1]))


def _write(row: ModelRow, order: Order) -> str:
    cursor = _Cursor(order, row.id, row.name, row.version, row.created_at)
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def _read(text: str, order: Order) -> _Cursor:
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        cursor = msgspec.json.decode(data, type=_Cursor)
    except (binascii.Error, msgspec.DecodeError, ValueError) as error:
        raise InvalidInputError(
            "the cursor is none of ours", where="cursor", fix="Begin with the first page."
        ) from error
    if cursor.order != order or cursor.created_at is None or cursor.created_at.tzinfo is None:
        raise InvalidInputError(
            "the cursor is of another order", where="cursor", fix="Begin with the first page."
        )
    return cursor
