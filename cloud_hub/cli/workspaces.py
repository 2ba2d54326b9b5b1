"""`headland workspace`."""

from enum import StrEnum
from typing import Annotated

import typer

from cloud_hub.cli.output import Format, Output, show, show_table
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
def create(name: str, output: Output = Format.TEXT) -> None:
    """Make a workspace and work in it from now on."""
    with Hub.connect() as hub:
        info = hub.create_workspace(name)
        hub.use_workspace(name)
    show(info, f"workspace {name} is made, and chosen for the next commands")


@app.command(epilog="Example: headland workspace use shop")
def use(name: str, output: Output = Format.TEXT) -> None:
    """Work in another workspace from now on."""
    with Hub.connect() as hub:
        hub.use_workspace(name)
    show({"workspace": name}, f"workspace {name} is chosen")


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
