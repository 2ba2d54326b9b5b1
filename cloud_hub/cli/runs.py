"""`headland run`: experiments' runs."""

from typing import Annotated

import typer

from cloud_hub.cli.output import Format, Output, show, show_table, size
from cloud_hub.cli.session import WorkspaceOption, group
from cloud_hub.cli.session import workspace as connect

app = group("Runs of experiments.")


@app.command("list", epilog="Example: headland run list --experiment digits")
def list_(
    experiment: Annotated[str | None, typer.Option(help="Only of this experiment.")] = None,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Show runs, newest first."""
    with connect(workspace) as ws:
        runs = ws.runs(experiment)
    rows = [(run.id, run.experiment, run.status, run.started_at, run.finished_at) for run in runs]
    show_table(runs, ["run", "experiment", "status", "started", "finished"], rows)


@app.command("show", epilog="Example: headland run show 3f0c...")
def show_(run: str, workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Show a run with its parameters, metrics and outputs."""
    with connect(workspace) as ws:
        info = ws.run(run)
    lines = [f"run {info.id} of {info.experiment}: {info.status}"]
    lines += [f"  parameter {name} = {value}" for name, value in info.parameters.items()]
    lines += [f"  metric {metric.name}[{metric.step}] = {metric.value:g}" for metric in info.metrics]
    lines += [
        f"  output {name}: {size(item.size_bytes)}, {item.digest}" for name, item in info.outputs.items()
    ]
    show(info, "\n".join(lines))
