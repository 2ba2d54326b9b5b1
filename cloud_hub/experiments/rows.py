"""Rows of runs. An experiment is the name its runs share."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from cloud_hub.db.base import Base, Wide


class RunRow(Base):
    """A run: ``parameters`` by name, ``outputs`` by name as digests.

    ``source`` says what ran (a commit, a command); ``parent`` is the run that it is a part of.
    """

    __tablename__ = "runs"
    __table_args__ = (Index("ix_runs_experiment", "workspace", "experiment"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace: Mapped[str] = mapped_column(ForeignKey("workspaces.name"))
    experiment: Mapped[str]
    status: Mapped[str]
    parameters: Mapped[dict[str, Any]]
    outputs: Mapped[dict[str, Any]]
    parent: Mapped[str | None] = mapped_column(ForeignKey("runs.id"), index=True)
    source: Mapped[dict[str, Any]]
    created_by: Mapped[str]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class MetricRow(Base):
    """One value of a metric at a step."""

    __tablename__ = "metrics"

    id: Mapped[int] = mapped_column(Wide, primary_key=True, autoincrement=True)
    run: Mapped[str] = mapped_column(ForeignKey("runs.id"), index=True)
    name: Mapped[str]
    step: Mapped[int] = mapped_column(Wide)
    value: Mapped[float]
    at: Mapped[datetime]
