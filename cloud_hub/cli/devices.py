"""`headland device`."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cloud_hub.cli.invitations import new_folder, read_list, refusals_of, show_folder, write_all
from cloud_hub.cli.output import Format, Output, show, show_table, size
from cloud_hub.cli.pairs import Pairs, joined, tag_changes
from cloud_hub.cli.secret_input import write_private
from cloud_hub.cli.session import WorkspaceOption, group
from cloud_hub.cli.session import workspace as connect
from cloud_hub.sdk import Device
from contract.encoding import encode

app = group("Devices of the fleet.")


@app.command(epilog="Example: headland device invite cam-1 --file cam-1.json")
def invite(
    device: Annotated[str | None, typer.Argument(help="The id of one device.")] = None,
    file: Annotated[
        Path | None, typer.Option(help="Where to write the invitation; carry it to the device.")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="A list of devices instead (.csv or .yaml): name and tags of each."),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="With --from: a new folder for the invitations, DEVICE.json.")
    ] = None,
    hours: Annotated[int, typer.Option(help="How long a token works.")] = 24,
    replace: Annotated[
        bool, typer.Option("--replace", help="Let an enrolled device enrol again; its old identity ends.")
    ] = False,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Pre-register a device, or those of a list, and write invitations, which hold one-time tokens."""
    if source is not None and folder is not None and device is None and file is None and not replace:
        _invite_list(workspace, source, folder, hours)
    elif device is not None and file is not None and source is None and folder is None:
        with connect(workspace) as ws:
            write_private(file, lambda: encode(ws.invite_device(device, hours, replace=replace)))
        show(
            {"device": device, "file": str(file)},
            f"invitation of {device} is in {file}; it works once, for {hours} h.\n"
            f"On the device: headland-agent enroll --invitation {file.name}",
        )
    else:
        raise typer.BadParameter("give DEVICE and --file, or --from and --folder (without --replace)")


def _invite_list(workspace: str, source: Path, folder: Path, hours: int) -> None:
    text, kind = read_list(source)
    with new_folder(folder) as made:
        with connect(workspace) as ws, refusals_of(source):
            invitations = ws.invite_devices(text, kind, hours)
        write_all(made, invitations)
    show_folder(folder, invitations, hours)


@app.command(epilog="Example: headland device tag cam-1 site=lyon --remove pilot")
def tag(
    device: str,
    tags: Annotated[Pairs, typer.Argument(help="NAME=VALUE, which rollouts can be for.")] = None,
    remove: Annotated[Pairs, typer.Option(help="A tag to take away; may be given again.")] = None,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Set and take away tags of a device."""
    with connect(workspace) as ws:
        info = ws.tag_device(device, tag_changes(tags, remove))
    show(info, f"{info.id}  {joined(info.tags) or 'no tags'}")


@app.command("list", epilog="Example: headland device list")
def list_(workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Show the devices and what they run."""
    with connect(workspace) as ws:
        devices = ws.devices()
    rows = [(d.id, d.state, _agent(d), _runs(d), joined(d.tags), d.last_seen_at) for d in devices]
    show_table(devices, ["device", "state", "agent", "runs", "tags", "last seen"], rows)


@app.command("show", epilog="Example: headland device show cam-1")
def show_(device: str, workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Show a device: modules, outbox, what it pulled."""
    with connect(workspace) as ws:
        info, pulled = ws.device(device), ws.pulled(device)
    reported, hello = info.reported or {}, info.hello or {}
    tags = [f"  tags: {joined(info.tags)}"] if info.tags else []
    lines = [
        f"{info.id}: {info.state}, last seen {info.last_seen_at or 'never'}",
        *tags,
        f"  agent {_agent(info)}, driver {hello.get('driver', '-')}",
        f"  generation {reported.get('generation', 0)}, converged: {reported.get('converged', False)}",
        f"  pulled {size(pulled.sent_bytes)} in {pulled.answers} answers",
    ]
    for module in reported.get("modules", ()):
        line = f"  module {module['name']}: {module['image']} {module['state']} {module['reason']}".rstrip()
        times = module.get("restarts", 0)
        lines.append(f"{line}, stopped by itself {times} times" if times else line)
    outbox = reported.get("outbox", {})
    lines.append(f"  outbox: {outbox.get('pending', 0)} pending, {outbox.get('dropped', 0)} dropped")
    lines += [_drops(stream) for stream in outbox.get("streams", ())]
    show(info, "\n".join(lines))


@app.command(epilog="Example: headland device revoke cam-1")
def revoke(
    device: str,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """End a device's identity and its connection: for one that was stolen or is given away."""
    with connect(workspace) as ws:
        info = ws.revoke_device(device)
    show(
        info,
        f"{device} is revoked: its connection is closed, and what it shows is refused.\n"
        f"To let it in again: headland device invite {device} --replace --file FILE",
    )


@app.command(epilog="Example: headland device document cam-1 > cam-1.document.json")
def document(device: str, workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Print a device's newest signed document, in either form as it is; for `headland-agent apply`."""
    with connect(workspace) as ws:
        envelope = ws.device_document(device)
    sys.stdout.buffer.write(envelope + b"\n")


def _drops(stream: dict[str, Any]) -> str:
    reasons = ("evicted", "incoming", "expired", "refused")
    counts = ", ".join(f"{stream[reason]} {reason}" for reason in reasons if stream.get(reason))
    return f"    stream {stream['stream']}: {counts}"


def _agent(device: Device) -> str:
    """Return the agent's version, and what becomes of an order for another."""
    agent = (device.reported or {}).get("agent") or {}
    version = agent.get("version") or (device.hello or {}).get("agent_version", "-")
    release = f" ({agent['release']})" if agent.get("release") else ""
    if agent.get("state", "running") == "running":
        return f"{version}{release}"
    reason = f": {agent['reason']}" if agent.get("reason") else ""
    return f"{version}{release}, {agent.get('ordered') or 'update'} {agent['state']}{reason}"


def _runs(device: Device) -> str:
    modules = (device.reported or {}).get("modules", ())
    return ", ".join(f"{module['image']} ({module['state']})" for module in modules) or "-"
