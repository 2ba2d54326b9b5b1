"""`headland workspace` and `headland token`."""

from enum import StrEnum
from typing import Annotated

import typer

from cloud_hub.cli.output import Format, Output, show, show_table
from cloud_hub.cli.session import WorkspaceOption, group
from cloud_hub.sdk import Hub

app = group("Workspaces: what a team shares.")
token_app = group("Tokens of people and services.")


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


@token_app.command("create", epilog="Example: headland token create ana --role Contributor > ana.token")
def create_token(
    principal: str,
    role: Annotated[RoleName, typer.Option(help="What the token may do.")],
    workspace: WorkspaceOption = "",
    days: Annotated[int, typer.Option(help="How long it works.")] = 30,
    output: Output = Format.TEXT,
) -> None:
    """Make a token for a person or service; it is printed this once."""
    with Hub.connect() as hub:
        token = hub.create_token(hub.workspace(workspace).name, principal, role.value, days)
    show({"token": token}, token)
