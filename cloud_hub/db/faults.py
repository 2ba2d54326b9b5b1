"""What a database's failures are called: those of the moment, and those of a value."""

import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.exc import DataError, DBAPIError, DontWrapMixin, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from cloud_hub.errors import DatabaseUnavailableError, InvalidInputError
from contract.errors import HeadlandError

log = logging.getLogger(__name__)

# Of SQLite's OperationalErrors these pass; the others (no such table) are defects of ours.
PASSING = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
    }
)
LOCK_NOT_AVAILABLE = "55P03"
MAX_REASON = 400


class UnstorableError(InvalidInputError, DontWrapMixin):
    """A value that no column can hold: a NUL in a text, a number out of range, a NaN in JSON."""


def unstorable() -> UnstorableError:
    """Return the error; the value itself is not repeated."""
    return UnstorableError(
        "a value cannot be stored", fix="Send texts without NUL, finite numbers, whole ones below 2**63."
    )


def to_json(value: object) -> str:
    """Return what a JSON column stores; NaN and infinity are refused, which PostgreSQL cannot parse."""
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError as error:
        raise unstorable() from error


@contextmanager
def named(*, starting: bool = False) -> Iterator[None]:
    """Give failures our names: `DatabaseUnavailableError` where they pass, `UnstorableError` for a value.

    At the start of a program the reason is told; later it goes to the log only, as callers
    over the network need not know where the database is.
    """
    try:
        yield
    except DataError as error:
        raise unstorable() from error
    except (OperationalError, InterfaceError, PoolTimeoutError) as error:
        if not _passes(error):
            raise
        raise _unavailable(error, starting=starting) from error


def busy() -> DatabaseUnavailableError:
    """Return the error of a writer whose turn did not come in time."""
    return DatabaseUnavailableError("the database is busy", where="database", fix="Try again.")


def _passes(error: DBAPIError | PoolTimeoutError) -> bool:
    origin = error.orig if isinstance(error, DBAPIError) else None
    if isinstance(origin, sqlite3.Error):
        code: int | None = getattr(origin, "sqlite_errorcode", None)
        return code is not None and code & 0xFF in PASSING
    return True


def _unavailable(error: DBAPIError | PoolTimeoutError, *, starting: bool) -> HeadlandError:
    origin: Any = error.orig if isinstance(error, DBAPIError) else error
    reason = " ".join(str(origin).split())[:MAX_REASON]
    if starting:
        return DatabaseUnavailableError(
            f"the database cannot be used: {reason}",
            where="database",
            fix="Start it, or correct `database` in hub.toml; a password comes from ~/.pgpass or PGPASSFILE.",
        )
    log.warning("the database cannot be used: %s", reason)
    locked = getattr(origin, "sqlstate", None) == LOCK_NOT_AVAILABLE
    if locked or isinstance(error, PoolTimeoutError):
        return busy()
    return DatabaseUnavailableError(
        "the database cannot be used just now",
        where="database",
        fix="Try again; the hub's log has the reason.",
    )
