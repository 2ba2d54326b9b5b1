"""Pages of versioned rows: an order, and cursors that stay right while versions are registered.

A row has ``id``, ``name``, ``version`` and ``created_at``.
"""

import base64
import binascii
from datetime import datetime
from typing import Any, Literal, Protocol, TypeVar, get_args

import msgspec
from sqlalchemy import ColumnElement, Select, and_, or_

from cloud_hub.errors import InvalidInputError

Order = Literal["name", "-name", "created", "-created"]
ORDERS: tuple[str, ...] = get_args(Order)
MOST = 500


class Versioned(Protocol):
    """A row that pages are made of."""

    id: Any
    name: Any
    version: Any
    created_at: Any


Row = TypeVar("Row", bound=Versioned)


class _Cursor(msgspec.Struct, frozen=True, array_like=True):
    order: str
    id: int
    name: str = ""
    version: int = 0
    created_at: datetime | None = None


def ordered(query: Select[Row], kind: type[Row], order: Order) -> Select[Row]:
    """Return the query in an order that no two rows share a place in."""
    match order:
        case "name":
            return query.order_by(kind.name, kind.version)
        case "-name":
            return query.order_by(kind.name.desc(), kind.version.desc())
        case "created":
            return query.order_by(kind.created_at, kind.id)
        case "-created":
            return query.order_by(kind.created_at.desc(), kind.id.desc())


def behind(kind: type[Row], cursor: str, order: Order) -> ColumnElement[bool]:
    """Return what rows behind a cursor have; raises `InvalidInputError` for a cursor that is none."""
    read = _read(cursor, order)
    first: Any
    second: Any
    values: tuple[Any, int]
    if order in {"name", "-name"}:
        first, second, values = kind.name, kind.version, (read.name, read.version)
    else:
        first, second, values = kind.created_at, kind.id, (read.created_at, read.id)
    if order.startswith("-"):
        return or_(first < values[0], and_(first == values[0], second < values[1]))
    return or_(first > values[0], and_(first == values[0], second > values[1]))


def cursor_at(row: Versioned, order: Order) -> str:
    """Return the cursor of the page that begins behind ``row``."""
    cursor = _Cursor(order, row.id, row.name, row.version, row.created_at)
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def named(column: Any, pattern: str) -> ColumnElement[bool]:  # noqa: ANN401  a mapped column, whatever its class
    """Return what a name's condition is: ``*`` and ``?`` stand for anything, where it has one."""
    condition: ColumnElement[bool]
    if "*" in pattern or "?" in pattern:
        escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        condition = column.like(escaped.replace("*", "%").replace("?", "_"), escape="\\")
    else:
        condition = column == pattern
    return condition


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
