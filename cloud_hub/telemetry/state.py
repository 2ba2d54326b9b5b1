"""Where a workspace's telemetry is, how much of it, and what waits."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cloud_hub.telemetry.rows import FileRow, PendingRow
from cloud_hub.telemetry.waits import Waits


@dataclass(frozen=True)
class Held:
    """Files that count, in one datastore (none: in the hub's own store)."""

    datastore: str | None
    files: int
    rows: int
    size_bytes: int


@dataclass(frozen=True)
class Problem:
    """Why batches wait, as of the last try; ``since`` is the first failure in a row."""

    code: str
    what: str
    where: str
    fix: str
    since: datetime
    failures: int


@dataclass(frozen=True)
class TelemetryState:
    """``datastore`` is where new files go, none for the hub's own store; batches that are in no file yet."""

    datastore: str | None
    pending_batches: int
    oldest_pending_at: datetime | None
    problem: Problem | None
    held: list[Held]


def state_of(session: Session, workspace: str, datastore: str | None, waits: Waits) -> TelemetryState:
    """Return a workspace's state; ``datastore`` is the chosen one."""
    pending = select(func.count(), func.min(PendingRow.received_at)).where(PendingRow.workspace == workspace)
    count, oldest = session.execute(pending).one()
    sums = (func.count(), func.sum(FileRow.rows), func.sum(FileRow.size_bytes))
    place = func.coalesce(FileRow.datastore, "")  # databases differ in where nulls are sorted
    held = select(place, *sums).where(FileRow.workspace == workspace).group_by(place).order_by(place)
    sums_of = session.execute(held).all()
    return TelemetryState(
        datastore=datastore,
        pending_batches=count,
        oldest_pending_at=oldest,
        problem=_problem(waits, workspace) if datastore is not None else None,
        held=[Held(name or None, files, int(rows), int(size)) for name, files, rows, size in sums_of],
    )


def _problem(waits: Waits, workspace: str) -> Problem | None:
    wait = waits.of(workspace)
    if wait is None:
        return None
    error = wait.error
    return Problem(error.code, error.what, error.where, error.fix, wait.since, wait.failures)
