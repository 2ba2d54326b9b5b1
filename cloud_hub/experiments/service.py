"""Experiments and runs: what was tried, with which parameters, and what came out."""

import uuid
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_hub.blobs.service import Blobs, uploads_of
from cloud_hub.db.engine import Database
from cloud_hub.errors import ConflictError, NotFoundError
from cloud_hub.experiments.rows import MetricRow, RunRow
from contract.ids import check_name

RunStatus = Literal["running", "completed", "failed"]


class Experiments:
    """Runs of all workspaces."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._blobs = blobs

    def start(self, workspace: str, experiment: str, principal: str) -> RunRow:
        """Start a run."""
        check_name(experiment, where="experiment")
        row = RunRow(
            id=uuid.uuid4().hex,
            workspace=workspace,
            experiment=experiment,
            status="running",
            parameters={},
            outputs={},
            created_by=principal,
            started_at=datetime.now(UTC),
            finished_at=None,
        )
        with self._database.transaction() as session:
            session.add(row)
        return row

    def log_parameters(self, workspace: str, run: str, parameters: dict[str, Any]) -> RunRow:
        """Add parameters; a name that was logged with another value is a conflict."""
        with self._database.transaction() as session:
            row = self._open(session, workspace, run)
            for name, value in parameters.items():
                if name in row.parameters and row.parameters[name] != value:
                    raise ConflictError(
                        "the parameter was logged with another value", where=name, fix="Start a new run."
                    )
            row.parameters = row.parameters | parameters
        return row

    def log_metric(self, workspace: str, run: str, name: str, value: float, step: int) -> None:
        """Add one value of a metric."""
        with self._database.transaction() as session:
            self._open(session, workspace, run)
            session.add(MetricRow(run=run, name=name, step=step, value=value, at=datetime.now(UTC)))

    def log_output(self, workspace: str, run: str, name: str, digest: str) -> RunRow:
        """Name an uploaded blob as an output of the run."""
        with self._database.transaction() as session:
            row = self._open(session, workspace, run)
            link = self._blobs.find(session, uploads_of(workspace), digest)
            row.outputs = row.outputs | {name: {"digest": digest, "size_bytes": link.size_bytes}}
        return row

    def finish(self, workspace: str, run: str, status: RunStatus) -> RunRow:
        """End a run."""
        with self._database.transaction() as session:
            row = self._open(session, workspace, run)
            row.status = status
            row.finished_at = datetime.now(UTC)
        return row

    def get(self, workspace: str, run: str) -> tuple[RunRow, list[MetricRow]]:
        """Return a run and its metrics in the order they were logged."""
        with self._database.reading() as session:
            row = _find(session, workspace, run)
            metrics = session.scalars(
                select(MetricRow).where(MetricRow.run == run).order_by(MetricRow.id)
            ).all()
        return row, list(metrics)

    def all_in(self, workspace: str, experiment: str | None) -> list[RunRow]:
        """Return runs, newest first."""
        query = select(RunRow).where(RunRow.workspace == workspace).order_by(RunRow.started_at.desc())
        if experiment is not None:
            query = query.where(RunRow.experiment == experiment)
        with self._database.reading() as session:
            return list(session.scalars(query).all())

    def _open(self, session: Session, workspace: str, run: str) -> RunRow:
        row = _find(session, workspace, run)
        if row.status != "running":
            raise ConflictError(f"the run is {row.status}", where=run, fix="Start a new run.")
        return row


def _find(session: Session, workspace: str, run: str) -> RunRow:
    row = session.get(RunRow, run)
    if row is None or row.workspace != workspace:
        raise NotFoundError("no such run in this workspace", where=run)
    return row
