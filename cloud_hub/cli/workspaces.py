"""`headland workspace`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cloud_hub.cli.output import Format, Output, show, show_table
from cloud_hub.cli.overview import HUB, image_place, overview_text, place_name
from cloud_hub.cli.secret_input import read_value
from cloud_hub.cli.session import WorkspaceOption, group
from cloud_hub.cli.session import workspace as connect
from cloud_hub.sdk import Hub

app = group("Workspaces: what a team shares.")


class RoleName(StrEnum):
    """Roles in a workspace."""

    OWNER = "Owner"
    CONTRIBUTOR = "Contributor"
    READER = "Reader"


@app.command(epilog="Example: headland workspace create shop")
def create(
    name: str,
    datastore: Annotated[
        str,
        typer.Option(help="An existing place, s3://..., /folder, as default; else one in the hub's store."),
    ] = "",
    datastore_name: Annotated[str, typer.Option(help="What that datastore is called.")] = "default",
    datastore_secret_file: Annotated[
        Path | None,
        typer.Option(help="A file with its credentials, as JSON; - reads them from standard input."),
    ] = None,
    telemetry_datastore: Annotated[
        str | None, typer.Option(help="The name of that datastore, if telemetry shall go there too.")
    ] = None,
    output: Output = Format.TEXT,
) -> None:
    """Make a workspace and work in it from now on."""
    if datastore_secret_file is not None and not datastore:
        raise typer.BadParameter("credentials for no datastore: give --datastore too")
    credentials = None
    if datastore_secret_file is not None:
        file = None if datastore_secret_file == Path("-") else datastore_secret_file
        credentials = read_value(file, option="--datastore-secret-file")
    with Hub.connect() as hub:
        info = hub.create_workspace(
            name,
            datastore=datastore,
            datastore_name=datastore_name,
            credentials=credentials,
            telemetry_datastore=telemetry_datastore,
        )
        hub.use_workspace(name)
    show(info, f"workspace {name} is made, and chosen for the next commands")


@app.command(epilog="Example: headland workspace use shop")
def use(name: str, output: Output = Format.TEXT) -> None:
    """Work in another workspace from now on."""
    with Hub.connect() as hub:
        hub.use_workspace(name)
    show({"workspace": name}, f"workspace {name} is chosen")


@app.command("show", epilog="Example: headland workspace show shop")
def show_(
    name: Annotated[str, typer.Argument(help="Else the chosen one.")] = "", output: Output = Format.TEXT
) -> None:
    """Show where a workspace's files, telemetry, images and secrets are, and what it has."""
    with connect(name) as ws:
        found = ws.overview()
    show(found, overview_text(found))


@app.command("set-telemetry", epilog="Example: headland workspace set-telemetry photos")
def set_telemetry(
    datastore: Annotated[str, typer.Argument(help="Its name; `hub:` for the hub's own store.")],
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Let new telemetry files go to a datastore, which is tried first; earlier files stay where they are."""
    with connect(workspace) as ws:
        store = ws.set_telemetry_store(None if datastore == HUB else datastore)
    show(store, f"new telemetry files of {ws.name} go to {place_name(store.datastore)}")


@app.command(
    "set-image-store",
    epilog="Example: headland workspace set-image-store https://harbor.example/shop --secret harbor",
)
def set_image_store(
    url: Annotated[str, typer.Argument(help="https://host[:port]/path; `hub:` for the hub's own store.")],
    secret: Annotated[
        str | None, typer.Option(help="A secret of the workspace with user:password, or a token.")
    ] = None,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Let images go to an external registry, which is tried first; people and devices still ask the hub."""
    with connect(workspace) as ws:
        store = ws.set_image_store(None if url == HUB else url, secret=secret)
    show(store, f"images of {ws.name} go to {image_place(store)}")


@app.command("list", epilog="Example: headland workspace list --output json")
def list_(output: Output = Format.TEXT) -> None:
    """Show the workspaces that you may see."""
    with Hub.connect() as hub:
        infos = hub.workspaces()
    show_table(infos, ["name", "created"], [(info.name, info.created_at) for info in infos])


@app.command(epilog="Example: headland workspace share ana --role Contributor")
def share(
    person: str,
    role: Annotated[RoleName, typer.Option(help="What they may do here.")],
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Make a person a member of the workspace, or change their role."""
    with connect(workspace) as ws:
        member = ws.members.share(person, role.value)
    show(member, f"{person} is a {role.value} of {ws.name}")


@app.command(epilog="Example: headland workspace unshare ana")
def unshare(person: str, workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """End a person's membership; it counts from their next request on."""
    with connect(workspace) as ws:
        ws.members.unshare(person)
    show({"person": person, "workspace": ws.name}, f"{person} is no member of {ws.name} any more")


@app.command(epilog="Example: headland workspace members")
def members(workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Show the people and services of the workspace."""
    with connect(workspace) as ws:
        found = ws.members.all()
    rows = [(m.principal, m.kind, m.role, m.created_at) for m in found]
    show_table(found, ["member", "kind", "role", "since"], rows)
