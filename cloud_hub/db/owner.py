"""One database, one hub: a second one with a CA of its own would take the first one's devices for its own."""

from datetime import UTC, datetime

from sqlalchemy import inspect, select

from cloud_hub.db.engine import Database
from cloud_hub.db.rows import HubRow
from cloud_hub.errors import ForeignDatabaseError


def claim(database: Database, ca_sha256: str) -> None:
    """Write into a new database whose it is; raises `ForeignDatabaseError` where it is another hub's."""
    with database.transaction() as session:
        owners = list(session.scalars(select(HubRow.ca_sha256)).all())
        if not owners:
            session.add(HubRow(ca_sha256=ca_sha256, created_at=datetime.now(UTC)))
    if owners not in ([], [ca_sha256]):
        raise _foreign("the database belongs to another hub")


def require_owner(database: Database, ca_sha256: str) -> None:
    """Raise `ForeignDatabaseError` where the database is not that hub's; nothing is written."""
    if not inspect(database.engine).has_table(HubRow.__tablename__):
        raise _foreign("the database is no hub's")
    with database.reading() as session:
        owners = list(session.scalars(select(HubRow.ca_sha256)).all())
    if owners != [ca_sha256]:
        raise _foreign("the database belongs to another hub")


def _foreign(what: str) -> ForeignDatabaseError:
    return ForeignDatabaseError(
        what,
        where="database",
        fix="Give each hub a database of its own; a hub that was moved needs its `pki` folder too.",
    )
