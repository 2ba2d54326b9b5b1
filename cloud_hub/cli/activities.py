"""`headland activity`."""

from cloud_hub.cli.output import Format, Output, show, show_table
from cloud_hub.cli.session import WorkspaceOption, group
from cloud_hub.cli.session import workspace as connect

app = group("Long operations and how they went.")


@app.command("list", epilog="Example: headland activity list")
def list_(workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Show activities, newest first."""
    with connect(workspace) as ws:
        activities = ws.activities()
    rows = [(a.id, a.kind, a.state, f"{a.progress:.0%}", a.created_by, a.created_at) for a in activities]
    show_table(activities, ["activity", "kind", "state", "progress", "by", "created"], rows)


@app.command("show", epilog="Example: headland activity show 9a1b...")
def show_(activity: str, workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Show an activity with its log."""
    with connect(workspace) as ws:
        info = ws.activity(activity)
    lines = [f"{info.kind} {info.id}: {info.state}, {info.progress:.0%}"]
    lines += [f"  {line['at']}  {line['text']}" for line in info.log]
    if info.error:
        lines.append(f"  error: {info.error.get('detail')} [{info.error.get('code')}]")
    show(info, "\n".join(lines))
