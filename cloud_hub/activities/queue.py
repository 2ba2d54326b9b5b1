"""The queue in the database: every step is one statement that succeeds for one process only.

Times are the database's own where several machines share it, so that their clocks need not agree.
"""

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.orm import Session

from cloud_hub.activities.log_lines import LogLength, LogLine
from cloud_hub.activities.rows import ActivityLineRow, ActivityRow
from cloud_hub.db.clock import moment
from cloud_hub.db.engine import Database

Noted = Callable[[Session, ActivityRow], None]
"""Told of each new state, in the transaction that makes it so."""

INTERRUPTED = {
    "code": "interrupted",
    "detail": "the hub stopped while it ran, each time that it was tried",
    "fix": "Look into the hub's log for the reason, then start it again.",
}
AGAIN = "attempt {}: the hub stopped during the one before"


@dataclass(frozen=True)
class Claim:
    """An activity as it was taken up; ``attempt`` fences all that is written for it."""

    id: str
    kind: str
    parameters: dict[str, Any]
    attempt: int
    lines: int
    log_bytes: int


@dataclass(frozen=True)
class Saved:
    """What a heartbeat learns."""

    cancel: bool


class Queue:
    """Activities that wait and run, in any number of processes over one database."""

    def __init__(self, database: Database, noted: Noted, *, lease_s: float) -> None:
        self._database = database
        self._noted = noted
        self._lease = timedelta(seconds=lease_s)

    def add(
        self, session: Session, workspace: str, kind: str, principal: str, parameters: dict[str, Any]
    ) -> ActivityRow:
        """Queue an activity with the caller's transaction."""
        row = ActivityRow(
            id=uuid.uuid4().hex,
            workspace=workspace,
            kind=kind,
            parameters=parameters,
            state="queued",
            progress=0.0,
            attempt=0,
            released=0,
            holder=None,
            lease_until=None,
            cancel_requested_at=None,
            lines=0,
            log_bytes=0,
            result=None,
            error=None,
            created_by=principal,
            created_at=moment(session),
            started_at=None,
            finished_at=None,
        )
        session.add(row)
        session.flush()
        self._noted(session, row)
        return row

    def claim(self, kinds: Mapping[str, int], holder: str) -> Claim | None:
        """Take up the oldest activity that waits or whose lease has run out; None where there is none.

        ``kinds`` maps the kinds that this process can do to how often each is tried.
        """
        while True:
            with self._database.transaction() as session:
                row = self._take(session, kinds, holder)
                if row is None:
                    return None
                if self._may_run(session, row, kinds[row.kind]):
                    return Claim(row.id, row.kind, row.parameters, row.attempt, row.lines, row.log_bytes)

    def save(self, claim: Claim, fraction: float, lines: Iterable[LogLine], log: LogLength) -> Saved | None:
        """Renew the lease and keep what the handler said; None where the lease is another's."""
        with self._database.transaction() as session:
            row = self._change(
                session,
                claim,
                lease_until=moment(session) + self._lease,
                progress=fraction,
                lines=log.lines,
                log_bytes=log.size_bytes,
            )
            if row is None:
                return None
            _add_lines(session, claim.id, lines)
            return Saved(cancel=row.cancel_requested_at is not None)

    def finish(
        self, claim: Claim, state: str, lines: Iterable[LogLine], log: LogLength, **values: object
    ) -> bool:
        """Write the end, with the notes of it; False where another attempt has taken over."""
        with self._database.transaction() as session:
            row = self._change(
                session,
                claim,
                state=state,
                holder=None,
                lease_until=None,
                finished_at=moment(session),
                lines=log.lines,
                log_bytes=log.size_bytes,
                **values,
            )
            if row is None:
                return False
            _add_lines(session, claim.id, lines)
            self._noted(session, row)
            return True

    def release(self, claim: Claim) -> bool:
        """Put it back into the queue, as a hub does that is stopped in good order."""
        with self._database.transaction() as session:
            row = self._change(
                session,
                claim,
                state="queued",
                holder=None,
                lease_until=None,
                released=ActivityRow.released + 1,
            )
            if row is not None:
                self._noted(session, row)
            return row is not None

    def cancel(self, session: Session, activity: str) -> bool:
        """End what waits, ask what runs to stop; False where it has ended already."""
        at = moment(session)
        changes: tuple[tuple[str, dict[str, Any]], ...] = (
            ("queued", {"state": "cancelled", "finished_at": at, "cancel_requested_at": at}),
            ("running", {"cancel_requested_at": func.coalesce(ActivityRow.cancel_requested_at, at)}),
        )
        # Queued, then running: a row that is taken up in between is met by the second statement.
        for state, values in changes:
            row = _update(session, [ActivityRow.id == activity, ActivityRow.state == state], values)
            if row is not None:
                if state == "queued":
                    self._noted(session, row)
                return True
        return False

    def end_leases(self) -> None:
        """Let what runs be taken up at once. Only where no other process works on the database."""
        with self._database.transaction() as session:
            session.execute(
                update(ActivityRow).where(ActivityRow.state == "running").values(lease_until=None)
            )

    def _take(self, session: Session, kinds: Mapping[str, int], holder: str) -> ActivityRow | None:
        now = moment(session)
        due = or_(
            ActivityRow.state == "queued",
            and_(
                ActivityRow.state == "running",
                or_(ActivityRow.lease_until.is_(None), ActivityRow.lease_until < now),
            ),
        )
        oldest = (
            select(ActivityRow.id)
            .where(ActivityRow.kind.in_(list(kinds)), due)
            .order_by(ActivityRow.created_at, ActivityRow.id)
            .limit(1)
            .with_for_update(skip_locked=True)  # SQLite knows no such lock: its transactions queue
            .scalar_subquery()
        )
        return _update(
            session,
            [ActivityRow.id == oldest, due],
            {
                "state": "running",
                "attempt": ActivityRow.attempt + 1,
                "holder": holder,
                "lease_until": now + self._lease,
                "started_at": func.coalesce(ActivityRow.started_at, now),
                "progress": 0.0,
            },
        )

    def _may_run(self, session: Session, row: ActivityRow, max_attempts: int) -> bool:
        """Note that it runs; or end it: it was cancelled while nobody held it, or was tried enough."""
        now = moment(session)
        if row.cancel_requested_at is not None:
            row.state = "cancelled"
        elif row.attempt - row.released > max_attempts:
            row.state, row.error = "failed", dict(INTERRUPTED)
        else:
            if row.attempt > 1:
                log = LogLength(row.lines, row.log_bytes)
                _add_lines(session, row.id, log.next_lines(AGAIN.format(row.attempt), now))
                row.lines, row.log_bytes = log.lines, log.size_bytes
            session.flush()
            self._noted(session, row)
            return True
        row.attempt -= 1  # this one was none; the end stands, so nobody writes under the old number
        row.holder, row.lease_until, row.finished_at = None, None, now
        session.flush()
        self._noted(session, row)
        return False

    def _change(self, session: Session, claim: Claim, **values: object) -> ActivityRow | None:
        held = [
            ActivityRow.id == claim.id,
            ActivityRow.attempt == claim.attempt,
            ActivityRow.state == "running",
        ]
        return _update(session, held, values)


def _update(
    session: Session, where: list[ColumnElement[bool]], values: Mapping[str, Any]
) -> ActivityRow | None:
    statement = update(ActivityRow).where(*where).values(**values).returning(ActivityRow)
    options = {"synchronize_session": False, "populate_existing": True}
    return session.scalars(statement, execution_options=options).first()


def _add_lines(session: Session, activity: str, lines: Iterable[LogLine]) -> None:
    for line in lines:
        session.add(ActivityLineRow(activity=activity, number=line.number, at=line.at, text=line.text))
