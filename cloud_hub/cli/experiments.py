"""`headland experiment`: what runs belong to."""

from cloud_hub.cli.output import Format, Output, show_table
from cloud_hub.cli.session import WorkspaceOption, group
from cloud_hub.cli.session import workspace as connect

app = group("Experiments: what runs belong to.")


@app.command("list", epilog="Example: headland experiment list")
def list_(workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Show the experiments, how many runs each has, and how many go on."""
    with connect(workspace) as ws:
        found = ws.experiments()
    rows = [(each.name, each.runs, each.running, each.last_started_at) for each in found]
    show_table(found, ["experiment", "runs", "running", "last started"], rows)
