"""Activities of all workspaces: queued, followed, cancelled."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from cloud_hub.activities.kinds import Kind
from cloud_hub.activities.log_lines import LogLine
from cloud_hub.activities.queue import Noted, Queue
from cloud_hub.activities.rows import ActivityLineRow, ActivityRow
from cloud_hub.activities.workers import Workers
from cloud_hub.audit.actor import Actor
from cloud_hub.audit.service import Audit
from cloud_hub.db.engine import Database
from cloud_hub.errors import ConflictError, NotFoundError

LEASE_S = 30.0
LINES_AT_ONCE = 500


@dataclass(frozen=True)
class News:
    """An activity as it is, and the next lines of its log; ``all_lines`` where there are no more yet."""

    row: ActivityRow
    lines: list[LogLine]

    @property
    def all_lines(self) -> bool:
        """Are these the last lines that the row tells of?"""
        return len(self.lines) < LINES_AT_ONCE


class Activities:
    """The queue and, from `begin` to `close`, this process's workers.

    ``noted`` is told of each new state within its transaction. ``renew_s`` is how often a lease of
    ``lease_s`` seconds is renewed; a lease that is not renewed lets another process take over.
    """

    def __init__(
        self,
        database: Database,
        audit: Audit,
        *,
        at_once: int,
        noted: Noted = lambda _session, _row: None,
        lease_s: float = LEASE_S,
        renew_s: float | None = None,
    ) -> None:
        self._database = database
        self._audit = audit
        self._kinds: dict[str, Kind] = {}
        self._queue = Queue(database, noted, lease_s=lease_s)
        self._workers = Workers(
            self._queue,
            self._kinds,
            at_once=at_once,
            lease_s=lease_s,
            renew_s=lease_s / 6 if renew_s is None else renew_s,
        )
        self._begun = False

    def register(self, kind: Kind) -> None:
        """Make a kind known; each once, before `begin`."""
        if kind.name in self._kinds or self._begun:
            raise ValueError(f"kind {kind.name} is registered twice, or too late")
        self._kinds[kind.name] = kind

    def begin(self, *, alone: bool = False) -> None:
        """Take up what waits.

        ``alone``: no other process works on the database, so what an earlier one left is taken up at
        once, and not only when its lease has run out.
        """
        if alone:
            self._queue.end_leases()
        self._begun = True
        self._workers.start()

    def close(self) -> None:
        """Stop within seconds; what runs goes back into the queue."""
        if self._begun:
            self._workers.stop()

    def start(self, workspace: str, kind: str, principal: str, parameters: dict[str, Any]) -> ActivityRow:
        """Queue an activity of a registered kind and return it."""
        with self.starting() as session:
            return self.start_in(session, workspace, kind, principal, parameters)

    @contextmanager
    def starting(self) -> Iterator[Session]:
        """Open a transaction for `start_in`; workers look for work once it is committed."""
        with self._database.transaction() as session:
            yield session
        self._workers.wake()

    def start_in(
        self, session: Session, workspace: str, kind: str, principal: str, parameters: dict[str, Any]
    ) -> ActivityRow:
        """Queue an activity together with the caller's own rows: with their commit it is there."""
        if kind not in self._kinds:
            raise LookupError(f"no kind of activity is named {kind}")
        return self._queue.add(session, workspace, kind, principal, parameters)

    def cancel(self, workspace: str, activity: str, by: Actor) -> ActivityRow:
        """End what waits, ask what runs to stop; raises `ConflictError` where it has ended by itself."""
        self.get(workspace, activity)
        with self._database.transaction() as session:
            changed = self._queue.cancel(session, activity)
            if changed:
                self._audit.record(session, by, "activity.cancel", activity, workspace=workspace)
        row = self.get(workspace, activity)
        if not changed and row.state != "cancelled":
            raise ConflictError(
                f"the activity has {row.state} already", where=activity, fix="There is nothing to cancel."
            )
        self._workers.cancel(activity)
        return row

    def get(self, workspace: str, activity: str) -> ActivityRow:
        """Return an activity; raises `NotFoundError`."""
        return self.news(workspace, activity, after=None).row

    def news(self, workspace: str, activity: str, *, after: int | None = 0) -> News:
        """Return an activity and its lines after number ``after`` (None: no lines), as of one moment."""
        with self._database.reading() as session:
            row = session.get(ActivityRow, activity)
            if row is None or row.workspace != workspace:
                raise NotFoundError("no such activity in this workspace", where=activity)
            query = (
                select(ActivityLineRow)
                .where(ActivityLineRow.activity == activity, ActivityLineRow.number > (after or 0))
                .where(ActivityLineRow.number <= row.lines)
                .order_by(ActivityLineRow.number)
                .limit(LINES_AT_ONCE)
            )
            found = [] if after is None else session.scalars(query).all()
            return News(row, [LogLine(line.number, line.at, line.text) for line in found])

    def log(self, workspace: str, activity: str) -> tuple[ActivityRow, list[LogLine]]:
        """Return an activity and its whole log."""
        lines: list[LogLine] = []
        while True:
            news = self.news(workspace, activity, after=lines[-1].number if lines else 0)
            lines += news.lines
            if news.all_lines:
                return news.row, lines

    def all_in(
        self,
        workspace: str,
        *,
        states: Sequence[str] = (),
        kind: str | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> list[ActivityRow]:
        """Return activities, newest first; ``before`` is the id of the last one of the page before."""
        query = select(ActivityRow).where(ActivityRow.workspace == workspace)
        if states:
            query = query.where(ActivityRow.state.in_(list(states)))
        if kind is not None:
            query = query.where(ActivityRow.kind == kind)
        if before is not None:
            last = self.get(workspace, before)
            earlier = and_(ActivityRow.created_at == last.created_at, ActivityRow.id < last.id)
            query = query.where(or_(ActivityRow.created_at < last.created_at, earlier))
        query = query.order_by(ActivityRow.created_at.desc(), ActivityRow.id.desc()).limit(limit)
        with self._database.reading() as session:
            return list(session.scalars(query).all())
