"""`headland activity`."""

from enum import StrEnum
from typing import Annotated

import typer

from cloud_hub.cli.following import Follower
from cloud_hub.cli.output import Format, Output, cell, show, show_table
from cloud_hub.cli.session import WorkspaceOption, group
from cloud_hub.cli.session import workspace as connect
from cloud_hub.sdk import Activity, SdkError, Workspace

app = group("Long operations and how they went.")


Which = Annotated[str, typer.Argument(metavar="[ACTIVITY]", help="Its id; else the workspace's newest.")]


class StateName(StrEnum):
    """States of an activity."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@app.command("list", epilog="Example: headland activity list --state running --state queued")
def list_(
    state: Annotated[
        list[StateName] | None, typer.Option(help="Only in this state; may be repeated.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Only of this kind.")] = None,
    limit: Annotated[int, typer.Option(help="How many; 1 to 500.")] = 50,
    before: Annotated[str | None, typer.Option(help="The last activity of the page before.")] = None,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Show activities, newest first."""
    states = [name.value for name in state or ()]
    with connect(workspace) as ws:
        activities = ws.activities(states=states, kind=kind, limit=limit, before=before)
    rows = [(a.id, a.kind, a.state, f"{a.progress:.0%}", a.created_by, a.created_at) for a in activities]
    show_table(activities, ["activity", "kind", "state", "progress", "by", "created"], rows)


@app.command("show", epilog="Example: headland activity show 9a1b...")
def show_(activity: Which = "", workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Show an activity with its log."""
    with connect(workspace) as ws:
        info = ws.activity(activity or _newest(ws))
    lines = [_headline(info)]
    lines += [f"  {cell(line.at)}  {line.text}" for line in info.log]
    if info.error:
        lines.append(f"  error: {info.error.get('detail')} [{info.error.get('code')}]")
    show(info, "\n".join(lines))


@app.command(epilog="Example: headland activity follow 9a1b...")
def follow(activity: Which = "", workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Follow an activity until its end; Ctrl-C leaves it running. Fails where it fails."""
    with connect(workspace) as ws:
        one = activity or _newest(ws)
        with Follower(one) as follower:
            done = ws.wait(one, follower)
    if output is Format.TEXT:
        show(done, _headline(done))


@app.command(epilog="Example: headland activity cancel 9a1b...")
def cancel(activity: str, workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Ask an activity to stop: one that waits ends at once, one that runs at its next step."""
    with connect(workspace) as ws:
        info = ws.cancel(activity)
    words = "is cancelled" if info.state == "cancelled" else "was asked to stop"
    show(info, f"{info.kind} {info.id} {words}")


def _newest(ws: Workspace) -> str:
    found = ws.activities(limit=1)
    if not found:
        raise SdkError(
            "there is no activity yet", where=ws.name, fix="`headland image build NAME --model MODEL` is one."
        )
    return found[0].id


def _headline(info: Activity) -> str:
    tried = f", attempt {info.attempt}" if info.attempt > 1 else ""
    return f"{info.kind} {info.id}: {info.state}, {info.progress:.0%}{tried}"
