"""Experiments and runs: what was tried, with which parameters, and what came out."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from cloud_hub.blobs.owners import outputs_of
from cloud_hub.blobs.service import Blobs
from cloud_hub.db.engine import Database
from cloud_hub.errors import ConflictError, NotFoundError
from cloud_hub.experiments.rows import MetricRow, RunRow
from contract.ids import check_name

RunStatus = Literal["running", "completed", "failed"]


@dataclass(frozen=True)
class MetricValue:
    """One value of a metric at a step."""

    name: str
    value: float
    step: int = 0


@dataclass(frozen=True)
class ExperimentSummary:
    """An experiment, which is the name that its runs share: how many there are, and how many go on."""

    name: str
    runs: int
    running: int
    last_started_at: datetime


class Experiments:
    """Runs of all workspaces."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._blobs = blobs

    def start(
        self,
        workspace: str,
        experiment: str,
        principal: str,
        *,
        parent: str | None = None,
        source: Mapping[str, str] | None = None,
    ) -> RunRow:
        """Start a run, of its own or as a part of ``parent``; raises `NotFoundError`."""
        check_name(experiment, where="experiment")
        row = RunRow(
            id=uuid.uuid4().hex,
            workspace=workspace,
            experiment=experiment,
            status="running",
            parameters={},
            outputs={},
            parent=parent,
            source=dict(source or {}),
            created_by=principal,
            started_at=datetime.now(UTC),
            finished_at=None,
        )
        with self._database.transaction() as session:
            if parent is not None:
                _find(session, workspace, parent)
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

    def log_metrics(self, workspace: str, run: str, values: Sequence[MetricValue]) -> None:
        """Add values of metrics, all of them or none."""
        now = datetime.now(UTC)
        rows = [
            {"run": run, "name": one.name, "step": one.step, "value": one.value, "at": now} for one in values
        ]
        with self._database.transaction() as session:
            self._open(session, workspace, run)
            if rows:
                session.execute(insert(MetricRow), rows)

    def log_output(self, workspace: str, run: str, name: str, digest: str) -> RunRow:
        """Name an uploaded blob as an output of the run."""
        with self._database.transaction() as session:
            row = self._open(session, workspace, run)
            link = self._blobs.find_in(session, workspace, digest)
            self._blobs.link(session, outputs_of(workspace), digest, link.size_bytes, link.media_type)
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

    def all_in(
        self, workspace: str, experiment: str | None = None, parent: str | None = None
    ) -> list[RunRow]:
        """Return runs, newest first; only of an experiment, or only the parts of a run."""
        query = select(RunRow).where(RunRow.workspace == workspace).order_by(RunRow.started_at.desc())
        if experiment is not None:
            query = query.where(RunRow.experiment == experiment)
        if parent is not None:
            query = query.where(RunRow.parent == parent)
        with self._database.reading() as session:
            return list(session.scalars(query).all())

    def summaries(self, workspace: str) -> list[ExperimentSummary]:
        """Return a workspace's experiments by name."""
        query = (
            select(
                RunRow.experiment,
                func.count(),
                func.count().filter(RunRow.status == "running"),
                func.max(RunRow.started_at),
            )
            .where(RunRow.workspace == workspace)
            .group_by(RunRow.experiment)
            .order_by(RunRow.experiment)
        )
        with self._database.reading() as session:
            return [ExperimentSummary(*row) for row in session.execute(query).all()]

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
