"""`headland rollout`."""

import time
from pathlib import Path
from typing import Annotated

import typer

from cloud_hub.cli.output import Format, Output, progress_console, show, show_error, show_table
from cloud_hub.cli.session import WorkspaceOption, group
from cloud_hub.cli.session import workspace as connect
from cloud_hub.sdk import HubRefusedError, Rollout, SdkError

app = group("Rollouts: which devices run what.")

POLL_S = 0.5


@app.command(epilog="Example: headland rollout apply --file rollout.yaml --wait 120")
def apply(
    file: Annotated[Path, typer.Option("--file", "-f", help="The manifest (YAML).")],
    wait: Annotated[float, typer.Option(help="Wait so many seconds for every device.")] = 0.0,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Apply a rollout manifest: every device in it gets its next generation, or none does."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SdkError("cannot read the manifest", where=str(file), fix="Check --file.") from error
    with connect(workspace) as ws:
        try:
            rollout = ws.apply_rollout(text)
        except HubRefusedError as error:
            show_error(error, file=str(file))
            raise typer.Exit(1) from error
        deadline = time.monotonic() + wait
        with progress_console.status(_line(rollout)) as status:
            while not rollout.settled and time.monotonic() < deadline:
                time.sleep(POLL_S)
                rollout = ws.rollout(rollout.name)
                status.update(_line(rollout))
    show(rollout, "\n".join([_line(rollout), *_devices(rollout)]))
    if any(device.state == "failed" for device in rollout.devices) or (wait and not rollout.settled):
        raise typer.Exit(1)


@app.command("list", epilog="Example: headland rollout list")
def list_(workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Show every revision of every rollout, newest first."""
    with connect(workspace) as ws:
        rollouts = ws.rollouts()
    rows = [
        (f"{r.name}:{r.revision}", ", ".join(r.images.values()), _counts(r), r.created_by, r.created_at)
        for r in rollouts
    ]
    show_table(rollouts, ["rollout", "images", "devices", "by", "created"], rows)


@app.command("show", epilog="Example: headland rollout show digits")
def show_(name: str, workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Show the newest revision of a rollout, device by device."""
    with connect(workspace) as ws:
        rollout = ws.rollout(name)
    show(rollout, "\n".join([_line(rollout), *_devices(rollout)]))


def _line(rollout: Rollout) -> str:
    images = ", ".join(rollout.images.values())
    return f"rollout {rollout.name}:{rollout.revision} ({images}): {_counts(rollout)}"


def _counts(rollout: Rollout) -> str:
    states = [device.state for device in rollout.devices]
    return ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))


def _devices(rollout: Rollout) -> list[str]:
    return [f"  {d.device}: {d.state} {d.reason}".rstrip() for d in rollout.devices]
