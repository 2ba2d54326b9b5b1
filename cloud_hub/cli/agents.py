"""`headland agent`: releases of the device's agent, which rollouts order by name."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cloud_hub.cli.output import Format, Output, show, show_table, size
from cloud_hub.cli.session import WorkspaceOption, group
from cloud_hub.cli.session import workspace as connect
from cloud_hub.sdk.agent_packing import pack_release
from contract.agent_release import KIND

app = group("Releases of the device's agent.")


@app.command(epilog="Example: headland agent pack tree/lib --file headland-agent.tar")
def pack(
    tree: Annotated[Path, typer.Argument(help="What configs/deb/tree.sh made.")],
    file: Annotated[Path, typer.Option(help="Where to write the release.")],
    output: Output = Format.TEXT,
) -> None:
    """Pack a tree of the agent as a release; no hub is needed. The same tree gives the same bytes."""
    release = pack_release(tree, file)
    words = f"version {release.version} for {release.platform} with Python {release.python}"
    value = msgspec.to_builtins(release) | {"file": str(file)}
    show(value, f"{file}: {words}, {size(release.size_bytes)}, {release.digest}")


@app.command(epilog="Example: headland agent add headland-agent.tar")
def add(
    files: Annotated[list[Path], typer.Argument(help="A file for each platform, of one version.")],
    name: Annotated[str, typer.Option(help="The image whose next version it is.")] = "headland-agent",
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Add a release to the registry; a rollout orders it with `spec.agent: NAME:VERSION`."""
    with connect(workspace) as ws:
        image = ws.add_agent(files, name)
    show(image, f"{image.name}:{image.version} added, {size(image.size_bytes)}, {image.digest}")


@app.command("list", epilog="Example: headland agent list")
def list_(workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Show the releases of the registry, and the agents of the devices."""
    with connect(workspace) as ws:
        releases, devices = ws.images(kind=KIND), ws.devices()
    runs = [(device.reported or {}).get("agent") or {} for device in devices]
    rows = [
        (
            f"{one.name}:{one.version}",
            one.description,
            ", ".join(platform.platform for platform in one.platforms),
            size(one.size_bytes),
            sum(f"{one.name}:{one.version}" == agent.get("release") for agent in runs),
            one.created_at,
        )
        for one in releases
    ]
    show_table(releases, ["release", "version", "platforms", "size", "devices", "created"], rows)
