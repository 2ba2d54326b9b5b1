"""Finding rows that have a name and a version: what all searches share, and their pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from cloud_hub.db.pages import Order, Versioned, behind, cursor_at, named, ordered

Item = TypeVar("Item")


class Owned(Versioned, Protocol):
    """A versioned row of a workspace, and who made it."""

    workspace: Any
    created_by: Any


Row = TypeVar("Row", bound=Owned)


@dataclass(frozen=True, kw_only=True)
class VersionSearch:
    """What to find: all that is said must hold.

    ``name`` may have ``*`` and ``?``; ``tags`` are ``key=value``, or ``key`` for any value; ``latest`` keeps
    the newest version of each name among those that the rest finds.
    """

    name: str | None = None
    tags: Sequence[str] = ()
    digest: str | None = None
    created_by: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    latest: bool = False
    order: Order = "name"


@dataclass(frozen=True)
class Page(Generic[Item]):
    """Some of what was found; ``next`` is the cursor of the page behind it, if there is one."""

    items: list[Item]
    next: str | None


def page_of(
    session: Session,
    kind: type[Row],
    workspace: str,
    what: VersionSearch,
    further: Sequence[ColumnElement[bool]],
    *,
    limit: int,
    cursor: str | None,
) -> Page[Row]:
    """Return a page of a workspace's rows for which ``further`` holds too, tags and digest among it.

    Raises `InvalidInputError` for a cursor that is none.
    """
    conditions = [kind.workspace == workspace, *_shared(kind, what), *further]
    query = ordered(_select(kind, conditions, what), kind, what.order)
    if cursor is not None:
        query = query.where(behind(kind, cursor, what.order))
    rows = list(session.scalars(query.limit(limit + 1)).all())
    return Page(rows[:limit], cursor_at(rows[limit - 1], what.order) if len(rows) > limit else None)


def labelled(owner: Any, key: Any, value: Any, text: str) -> Select[Any]:  # noqa: ANN401  mapped columns
    """Return the owners (a column of the labels' table) of a label ``key=value``, or ``key``."""
    wanted, equals, content = text.partition("=")
    held = select(owner).where(key == wanted)
    return held.where(value == content) if equals else held


def _select(kind: type[Row], conditions: list[ColumnElement[bool]], what: VersionSearch) -> Select[Row]:
    if not what.latest:
        return select(kind).where(*conditions)
    rank = func.row_number().over(partition_by=kind.name, order_by=kind.version.desc())
    ranked = select(kind.id, rank.label("rank")).where(*conditions).subquery()
    return select(kind).join(ranked, ranked.c.id == kind.id).where(ranked.c.rank == 1)


def _shared(kind: type[Row], what: VersionSearch) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if what.name is not None:
        found.append(named(kind.name, what.name))
    if what.created_by is not None:
        found.append(kind.created_by == what.created_by)
    if what.created_after is not None:
        found.append(kind.created_at > what.created_after)
    if what.created_before is not None:
        found.append(kind.created_at < what.created_before)
    return found
