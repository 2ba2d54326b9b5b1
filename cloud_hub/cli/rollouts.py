"""`headland rollout`."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live

from cloud_hub.cli.output import Format, Output, progress_console, show, show_error, show_table
from cloud_hub.cli.session import WorkspaceOption, group
from cloud_hub.cli.session import workspace as connect
from cloud_hub.cli.waves import by_wave, counts, picture
from cloud_hub.sdk import ChangePlanned, HubRefusedError, Rollout, RolloutPlan, SdkError, Workspace

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
    ended_well = rollout.state in {"running", "done"} and not (wait and not rollout.settled)
    if not ended_well or any(device.state == "failed" for device in rollout.devices):
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


@app.command(epilog="Example: headland rollout watch digits")
def watch(name: str, workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Follow a rollout until it has ended, or waits for a person."""
    with connect(workspace) as ws:
        rollout = ws.rollout(name)
        with Live(picture(rollout), console=progress_console, transient=True) as live:
            while not rollout.settled:
                time.sleep(POLL_S)
                rollout = ws.rollout(name)
                live.update(picture(rollout))
    show(rollout, "\n".join([_line(rollout), *by_wave(rollout), *_devices(rollout, all_of_them=False)]))
    if rollout.state != "done" or any(device.state == "failed" for device in rollout.devices):
        raise typer.Exit(1)


@app.command(epilog="Example: headland rollout history digits")
def history(name: str, workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Show what became of a rollout, and who did it."""
    with connect(workspace) as ws:
        events = ws.rollout_events(name)
    rows = [(event.at, event.state, event.wave, event.by or "", event.words) for event in events]
    show_table(events, ["at", "state", "wave", "by", "why"], rows)


@app.command(epilog="Example: headland rollout pause digits")
def pause(name: str, workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Give no further device its new version; those that have it go on."""
    _steer(lambda ws: ws.pause_rollout(name), workspace)


@app.command(epilog="Example: headland rollout resume digits")
def resume(name: str, workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Go on with a paused rollout; devices that failed until now do not hold it up again."""
    _steer(lambda ws: ws.resume_rollout(name), workspace)


@app.command(epilog="Example: headland rollout abort digits")
def abort(name: str, workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Give each device back what it had before; also when the rollout was done."""
    _steer(lambda ws: ws.abort_rollout(name), workspace)


@app.command(epilog="Example: headland rollout approve digits")
def approve(name: str, workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Let the wave begin that waits for an Owner."""
    _steer(lambda ws: ws.approve_rollout(name), workspace)


@app.command("list", epilog="Example: headland rollout list")
def list_(workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Show every revision of every rollout, newest first."""
    with connect(workspace) as ws:
        rollouts = ws.rollouts()
    rows = [
        (
            f"{r.name}:{r.revision}",
            ", ".join(r.images.values()),
            r.state,
            counts(r.devices),
            r.created_by,
            r.created_at,
        )
        for r in rollouts
    ]
    show_table(rollouts, ["rollout", "images", "state", "devices", "by", "created"], rows)


@app.command("show", epilog="Example: headland rollout show digits")
def show_(name: str, workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Show the newest revision of a rollout, device by device."""
    with connect(workspace) as ws:
        rollout = ws.rollout(name)
    show(rollout, "\n".join([_line(rollout), *by_wave(rollout), *_devices(rollout)]))


def _steer(act: Callable[[Workspace], Rollout], workspace: str) -> None:
    with connect(workspace) as ws:
        rollout = act(ws)
    show(rollout, _line(rollout))


def _planned(plan: RolloutPlan) -> list[str]:
    touched = [device for device in plan.devices if device.changed]
    waves = max((device.wave for device in plan.devices), default=1)
    number = f"{len(touched)} of {len(plan.devices)} devices{f' in {waves} waves' if waves > 1 else ''}"
    lines = [f"rollout {plan.name}:{plan.revision} would change {number}"]
    for device in touched:
        replaces = f", in place of {device.replaces}" if device.replaces else ""
        wave = f"wave {device.wave}, " if waves > 1 else ""
        lines.append(f"  {device.device}: {wave}generation {device.generation}{replaces}")
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
    state = "" if rollout.state == "done" else f"{rollout.state}, "
    reason = f"; {rollout.reason}" if rollout.reason else ""
    return f"rollout {rollout.name}:{rollout.revision} ({images}): {state}{counts(rollout.devices)}{reason}"


def _devices(rollout: Rollout, *, all_of_them: bool = True) -> list[str]:
    shown = [d for d in rollout.devices if all_of_them or d.state == "failed"]
    return [f"  {d.device}: {d.state} {d.reason}".rstrip() for d in shown]
