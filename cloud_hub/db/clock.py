"""The time that processes on several machines agree on."""

from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session


def moment(session: Session) -> datetime:
    """Return the time: the database server's, or this machine's where the database is a file here."""
    if session.get_bind().dialect.name == "sqlite":
        return datetime.now(UTC)
    now: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    return now
