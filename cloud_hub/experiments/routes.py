"""HTTP: experiments and runs."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from cloud_hub.access.policy import WORKSPACE
from cloud_hub.api.auth import Hub, Who, guarded_router
from cloud_hub.api.schemas import Answer, Ask
from cloud_hub.experiments.rows import MetricRow, RunRow
from cloud_hub.experiments.service import MetricValue

router = guarded_router(WORKSPACE, "experiments")


Integer = Annotated[int, Field(ge=-(2**63), lt=2**63)]
"""What every reader of JSON takes for a whole number; beyond it, it is read as a float."""


class ParametersAsk(Ask):
    """Parameters by name."""

    parameters: dict[str, str | Integer | FiniteFloat | bool | None]


class MetricAsk(Ask):
    """One value of a metric."""

    name: str = Field(min_length=1, max_length=200)
    value: FiniteFloat
    step: Integer = 0


Values = Annotated[list[MetricAsk], Field(max_length=10_000)]


class StartAsk(Ask):
    """A run to start: the run it is a part of, and what runs (``commit``, ``command``, ...)."""

    parent: str | None = None
    source: Annotated[
        dict[Annotated[str, Field(min_length=1, max_length=100)], Annotated[str, Field(max_length=2_000)]],
        Field(max_length=20),
    ] = Field(default_factory=dict)


class OutputAsk(Ask):
    """An uploaded blob under a name."""

    name: str = Field(min_length=1, max_length=200)
    digest: str


class FinishAsk(Ask):
    """How the run ended."""

    status: Literal["completed", "failed"]


class OutputAnswer(Answer):
    """An output's bytes."""

    digest: str
    size_bytes: int


class MetricAnswer(Answer):
    """One value of a metric."""

    name: str
    step: int
    value: float
    at: datetime


class ExperimentAnswer(Answer):
    """An experiment: the name that its runs share, how many there are, and how many go on."""

    name: str
    runs: int
    running: int
    last_started_at: datetime


class RunAnswer(Answer):
    """A run."""

    id: str
    experiment: str
    parent: str | None
    source: dict[str, str]
    status: str
    parameters: dict[str, str | int | float | bool | None]
    outputs: dict[str, OutputAnswer]
    metrics: list[MetricAnswer]
    created_by: str
    started_at: datetime
    finished_at: datetime | None


@router.get("/experiments")
def experiments(hub: Hub, who: Who) -> list[ExperimentAnswer]:
    """Return the experiments by name."""
    return [ExperimentAnswer.model_validate(each) for each in hub.experiments.summaries(who.workspace)]


@router.post("/experiments/{experiment}/runs", status_code=201)
def start(experiment: str, ask: StartAsk, hub: Hub, who: Who) -> RunAnswer:
    """Start a run."""
    row = hub.experiments.start(
        who.workspace, experiment, who.caller.principal, parent=ask.parent, source=ask.source
    )
    return _answer(row)


@router.get("/runs")
def runs(hub: Hub, who: Who, experiment: str | None = None, parent: str | None = None) -> list[RunAnswer]:
    """Return runs, newest first, without their metrics."""
    return [_answer(row) for row in hub.experiments.all_in(who.workspace, experiment, parent)]


@router.get("/runs/{run}")
def show(run: str, hub: Hub, who: Who) -> RunAnswer:
    """Return a run with its metrics."""
    return _answer(*hub.experiments.get(who.workspace, run))


@router.post("/runs/{run}/parameters")
def log_parameters(run: str, ask: ParametersAsk, hub: Hub, who: Who) -> RunAnswer:
    """Add parameters."""
    return _answer(hub.experiments.log_parameters(who.workspace, run, ask.parameters))


@router.post("/runs/{run}/metrics", status_code=204)
def log_metrics(run: str, ask: MetricAsk | Values, hub: Hub, who: Who) -> None:
    """Add one value of a metric, or a list of up to 10,000: all or none."""
    asked = ask if isinstance(ask, list) else [ask]
    values = [MetricValue(one.name, one.value, one.step) for one in asked]
    hub.experiments.log_metrics(who.workspace, run, values)


@router.post("/runs/{run}/outputs")
def log_output(run: str, ask: OutputAsk, hub: Hub, who: Who) -> RunAnswer:
    """Name an uploaded blob as an output."""
    return _answer(hub.experiments.log_output(who.workspace, run, ask.name, ask.digest))


@router.post("/runs/{run}/finish")
def finish(run: str, ask: FinishAsk, hub: Hub, who: Who) -> RunAnswer:
    """End a run."""
    return _answer(hub.experiments.finish(who.workspace, run, ask.status))


def _answer(row: RunRow, metrics: list[MetricRow] | None = None) -> RunAnswer:
    return RunAnswer(
        id=row.id,
        experiment=row.experiment,
        parent=row.parent,
        source=row.source,
        status=row.status,
        parameters=row.parameters,
        outputs={name: OutputAnswer(**output) for name, output in row.outputs.items()},
        metrics=[MetricAnswer.model_validate(metric) for metric in metrics or ()],
        created_by=row.created_by,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )
