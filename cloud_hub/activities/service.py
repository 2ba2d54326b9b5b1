"""Runs long operations in the background and keeps what a person wants to know of them."""

import logging
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select, update

from cloud_hub.activities.rows import ActivityRow
from cloud_hub.db.engine import Database
from cloud_hub.errors import DatabaseUnavailableError, NotFoundError
from contract.errors import HeadlandError

log = logging.getLogger(__name__)

RETRY_AFTER_S = 1.0


class Progress:
    """What a running activity says of itself: a fraction from 0 to 1 and a line."""

    def __init__(self, database: Database, activity: str) -> None:
        self._database = database
        self._activity = activity

    def __call__(self, fraction: float, message: str) -> None:
        """Say how far it is; the line goes to the log."""
        line = {"at": datetime.now(UTC).isoformat(), "text": message}
        with self._database.transaction() as session:
            row = session.get_one(ActivityRow, self._activity)
            row.progress = fraction
            row.log = [*row.log, line]


Work = Callable[[Progress], dict[str, Any]]
"""What an activity does; it returns the result and raises where it fails."""


class Activities:
    """Activities of all workspaces; ``at_once`` run side by side, the rest wait."""

    def __init__(self, database: Database, *, at_once: int) -> None:
        self._database = database
        self._closing = threading.Event()
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="activity")

    def recover(self) -> None:
        """At start: what was cut off by the end of the last process is said to have failed."""
        error = {"code": "interrupted", "detail": "the hub stopped while it ran", "fix": "Start it again."}
        with self._database.transaction() as session:
            session.execute(
                update(ActivityRow)
                .where(ActivityRow.state.in_(["queued", "running"]))
                .values(state="failed", error=error, finished_at=datetime.now(UTC))
            )

    def start(self, workspace: str, kind: str, principal: str, work: Work) -> ActivityRow:
        """Queue ``work`` and return its activity."""
        row = ActivityRow(
            id=uuid.uuid4().hex,
            workspace=workspace,
            kind=kind,
            state="queued",
            progress=0.0,
            log=[],
            result=None,
            error=None,
            created_by=principal,
            created_at=datetime.now(UTC),
            finished_at=None,
        )
        with self._database.transaction() as session:
            session.add(row)
        self._pool.submit(self._run, row.id, work)
        return row

    def get(self, workspace: str, activity: str) -> ActivityRow:
        """Return an activity; raises `NotFoundError`."""
        with self._database.reading() as session:
            row = session.get(ActivityRow, activity)
        if row is None or row.workspace != workspace:
            raise NotFoundError("no such activity in this workspace", where=activity)
        return row

    def all_in(self, workspace: str) -> list[ActivityRow]:
        """Return activities, newest first."""
        query = select(ActivityRow).where(ActivityRow.workspace == workspace)
        with self._database.reading() as session:
            return list(session.scalars(query.order_by(ActivityRow.created_at.desc())).all())

    def close(self) -> None:
        """Let go of what waits and wait for what runs."""
        self._closing.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, activity: str, work: Work) -> None:
        try:
            self._set(activity, state="running")
            result = work(Progress(self._database, activity))
        except HeadlandError as error:
            log.warning("activity %s failed: %s", activity, error)
            problem = {"code": error.code, "detail": error.what, "where": error.where, "fix": error.fix}
            self._finish(activity, "failed", error=problem)
        except Exception:
            log.exception("activity %s failed", activity)
            problem = {"code": "internal", "detail": "an unexpected error", "fix": "See the hub's log."}
            self._finish(activity, "failed", error=problem)
        else:
            self._finish(activity, "completed", result=result, progress=1.0)

    def _finish(self, activity: str, state: str, **values: Any) -> None:  # noqa: ANN401  columns differ
        """Keep the end, if need be after the database came back; what is never kept `recover` says."""
        while True:
            try:
                self._set(activity, state=state, finished_at=datetime.now(UTC), **values)
            except DatabaseUnavailableError as error:
                log.warning("the end of activity %s waits: %s", activity, error)
                if self._closing.wait(RETRY_AFTER_S):
                    return
            else:
                return

    def _set(self, activity: str, **values: Any) -> None:  # noqa: ANN401  columns differ
        with self._database.transaction() as session:
            session.execute(update(ActivityRow).where(ActivityRow.id == activity).values(**values))
