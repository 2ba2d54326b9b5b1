"""`headland rollout`."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from cloud_hub.cli.output import Format, Output, progress_console, show, show_error, show_table
from cloud_hub.cli.session import WorkspaceOption, group
from cloud_hub.cli.session import workspace as connect
from cloud_hub.sdk import ChangePlanned, HubRefusedError, Rollout, RolloutPlan, SdkError

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
    text = _read(file)
    with connect(workspace) as ws:
        with _refusals_of(file):
            rollout = ws.apply_rollout(text)
        deadline = time.monotonic() + wait
        with progress_console.status(_line(rollout)) as status:
            while not rollout.settled and time.monotonic() < deadline:
                time.sleep(POLL_S)
                rollout = ws.rollout(rollout.name)
                status.update(_line(rollout))
    show(rollout, "\n".join([_line(rollout), *_devices(rollout)]))
    if any(device.state == "failed" for device in rollout.devices) or (wait and not rollout.settled):
        raise typer.Exit(1)


@app.command(epilog="Example: headland rollout plan --file rollout.yaml")
def plan(
    file: Annotated[Path, typer.Option("--file", "-f", help="The manifest (YAML).")],
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Show what a manifest would change on each device; nothing is changed."""
    text = _read(file)
    with connect(workspace) as ws, _refusals_of(file):
        found = ws.plan_rollout(text)
    show(found, "\n".join(_planned(found)))


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


def _planned(plan: RolloutPlan) -> list[str]:
    touched = [device for device in plan.devices if device.changed]
    counts = f"{len(touched)} of {len(plan.devices)} devices"
    lines = [f"rollout {plan.name}:{plan.revision} would change {counts}"]
    for device in touched:
        replaces = f", in place of {device.replaces}" if device.replaces else ""
        lines.append(f"  {device.device}: generation {device.generation}{replaces}")
        lines += [f"    {_change(change)}" for change in device.changes if change.kind != "keep"]
    return lines


def _change(change: ChangePlanned) -> str:
    images = " -> ".join(name for name in (change.now, change.then) if name)
    if change.kind == "settings":
        images = f"{change.then}, run in another way"
    return f"{change.kind} {change.module}: {images}"


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SdkError("cannot read the manifest", where=str(file), fix="Check --file.") from error


@contextmanager
def _refusals_of(file: Path) -> Iterator[None]:
    """Show what the hub refuses with the lines of the file."""
    try:
        yield
    except HubRefusedError as error:
        show_error(error, file=str(file))
        raise typer.Exit(1) from error


def _line(rollout: Rollout) -> str:
    images = ", ".join(rollout.images.values())
    return f"rollout {rollout.name}:{rollout.revision} ({images}): {_counts(rollout)}"


def _counts(rollout: Rollout) -> str:
    states = [device.state for device in rollout.devices]
    return ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))


def _devices(rollout: Rollout) -> list[str]:
    return [f"  {d.device}: {d.state} {d.reason}".rstrip() for d in rollout.devices]
