"""`headland run`: experiments' runs."""

import json
import math
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cloud_hub.cli.output import Format, Output, cell, show, show_table, size
from cloud_hub.cli.pairs import Pairs, pairs
from cloud_hub.cli.session import WorkspaceOption, group
from cloud_hub.cli.session import workspace as connect
from cloud_hub.sdk import RunInfo

app = group("Runs of experiments.")


class StatusName(StrEnum):
    """How a run can end."""

    COMPLETED = "completed"
    FAILED = "failed"


@app.command(epilog="Example: headland run start digits --source commit=3f0c...")
def start(
    experiment: str,
    parent: Annotated[str | None, typer.Option(help="The run that it is a part of.")] = None,
    source: Annotated[Pairs, typer.Option(help="key=value of what runs; may be repeated.")] = None,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Start a run and print its id; for training code that is not Python."""
    with connect(workspace) as ws:
        run = ws.start_run(experiment, parent=parent, source=pairs(source))
    show({"id": run.id, "experiment": run.experiment}, run.id)


@app.command(
    epilog="Example: headland run log 3f0c... --parameter C=0.01 --metric accuracy=0.97 --file net.onnx"
)
def log(
    run: str,
    parameter: Annotated[
        Pairs, typer.Option(help="key=value; a number, true or false are kept as such; may be repeated.")
    ] = None,
    metric: Annotated[Pairs, typer.Option(help="name=number; may be repeated.")] = None,
    step: Annotated[int, typer.Option(help="The step of the metrics.")] = 0,
    file: Annotated[list[Path] | None, typer.Option(help="An output of the run; may be repeated.")] = None,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Log parameters, metrics and outputs of a run."""
    parameters = {name: _scalar(text) for name, text in pairs(parameter).items()}
    metrics = [(name, _number(name, text), step) for name, text in pairs(metric).items()]
    with connect(workspace) as ws:
        ongoing = ws.resume_run(run)
        if parameters:
            ongoing.log_parameters(**parameters)
        ongoing.log_metrics(metrics)
        for path in file or ():
            ongoing.log_output(path)
        info = ws.run(run)
    show(info, "\n".join(_facts(info)))


@app.command(epilog="Example: headland run finish 3f0c... --status failed")
def finish(
    run: str,
    status: Annotated[StatusName, typer.Option(help="How it ended.")] = StatusName.COMPLETED,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """End a run."""
    with connect(workspace) as ws:
        info = ws.resume_run(run).finish(status.value)
    show(info, f"run {info.id} of {info.experiment}: {info.status}")


@app.command("list", epilog="Example: headland run list --experiment digits")
def list_(
    experiment: Annotated[str | None, typer.Option(help="Only of this experiment.")] = None,
    parent: Annotated[str | None, typer.Option(help="Only the parts of this run.")] = None,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Show runs, newest first."""
    with connect(workspace) as ws:
        runs = ws.runs(experiment, parent=parent)
    rows = [(r.id, r.experiment, r.status, r.created_by, r.started_at, r.finished_at) for r in runs]
    show_table(runs, ["run", "experiment", "status", "by", "started", "finished"], rows)


@app.command("show", epilog="Example: headland run show 3f0c...")
def show_(run: str, workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Show a run with its source, parameters, metrics and outputs."""
    with connect(workspace) as ws:
        info = ws.run(run)
    show(info, "\n".join(_facts(info)))


def _facts(info: RunInfo) -> Iterator[str]:
    yield f"run {info.id} of {info.experiment}: {info.status}"
    yield f"  started by {info.created_by}, {cell(info.started_at)}"
    if info.parent:
        yield f"  part of run {info.parent}"
    for word, values in (("source", info.source), ("parameter", info.parameters)):
        for name, value in values.items():
            yield f"  {word} {name} = {value}"
    for metric in info.metrics:
        yield f"  metric {metric.name}[{metric.step}] = {metric.value:g}"
    for name, item in info.outputs.items():
        yield f"  output {name}: {size(item.size_bytes)}, {item.digest}"


def _scalar(text: str) -> str | int | float | bool | None:
    """Return what JSON reads as a finite number, a truth value or null; else the text itself."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, float) and not math.isfinite(value):
        return text
    return value if value is None or isinstance(value, int | float | bool) else text


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"the metric {name} is not a number: {text!r}") from None
