"""A row that many want to change at once: taken with its lock, and made by whoever comes first."""

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cloud_hub.db.base import Base

Row = TypeVar("Row", bound=Base)


def take(session: Session, kind: type[Row], key: Any, new: Callable[[], Row]) -> Row:  # noqa: ANN401
    """Return the row under the primary ``key``, locked until the transaction ends (`FOR UPDATE`).

    Where it is missing it is made by ``new``; of two transactions that make it, the second waits for the
    first and gets its row. SQLite has one writer at a time and needs none of this.
    """
    row = session.get(kind, key, with_for_update=True, populate_existing=True)
    if row is not None:
        return row
    with contextlib.suppress(IntegrityError), session.begin_nested():
        session.add(new())
    return session.get_one(kind, key, with_for_update=True, populate_existing=True)
