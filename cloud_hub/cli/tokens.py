"""`headland token` and `headland service`: what programs act by."""

from enum import StrEnum
from typing import Annotated

import typer

from cloud_hub.cli.output import Format, Output, show, show_table
from cloud_hub.cli.session import WorkspaceOption, group
from cloud_hub.cli.session import workspace as connect
from cloud_hub.cli.workspaces import RoleName
from cloud_hub.sdk import Hub

app = group("Tokens: what programs show instead of a password.")
service_app = group("Services: programs that are members of a workspace.")

Service = Annotated[str, typer.Option(help="For this service of the workspace, not for yourself.")]


class CapName(StrEnum):
    """The most that a token may do."""

    ADMIN = "Admin"
    OWNER = "Owner"
    CONTRIBUTOR = "Contributor"
    READER = "Reader"


@app.command(epilog="Example: headland token create --role Reader --days 90 > dashboard.token")
def create(
    role: Annotated[CapName | None, typer.Option(help="The most that the token may do.")] = None,
    days: Annotated[int, typer.Option(help="How long it works; 1 to 366.")] = 30,
    label: Annotated[str, typer.Option(help="What it is for; shown in lists.")] = "",
    everywhere: Annotated[
        bool, typer.Option("--everywhere", help="For all your workspaces, not for the chosen one.")
    ] = False,
    service: Service = "",
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Make a token that may do no more than you; it is printed this once."""
    with Hub.connect() as hub:
        if service:
            made = hub.workspace(workspace).members.create_service_token(service, days=days, label=label)
        else:
            only = None if everywhere else hub.workspace(workspace).name
            made = hub.tokens.create(role=role and role.value, workspace=only, days=days, label=label)
    show(made, made.token)


@app.command("list", epilog="Example: headland token list")
def list_(service: Service = "", workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Show your tokens, or a service's; never their secrets."""
    with Hub.connect() as hub:
        tokens = hub.workspace(workspace).members.service_tokens(service) if service else hub.tokens.all()
    rows = [(t.id, t.purpose, t.role, t.workspace, t.label, t.expires_at, t.last_used_at) for t in tokens]
    show_table(tokens, ["token", "kind", "at most", "workspace", "label", "expires", "last used"], rows)


@app.command(epilog="Example: headland token revoke 4be1c09a7d22")
def revoke(
    token: str, service: Service = "", workspace: WorkspaceOption = "", output: Output = Format.TEXT
) -> None:
    """Take a token back: it is refused from the next request on."""
    with Hub.connect() as hub:
        if service:
            hub.workspace(workspace).members.revoke_service_token(service, token)
        else:
            hub.tokens.revoke(token)
    show({"token": token}, f"token {token} is revoked")


@service_app.command("create", epilog="Example: headland service create ci --role Contributor")
def create_service(
    name: str,
    role: Annotated[RoleName, typer.Option(help="What it may do in the workspace.")],
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Add a service to the workspace; give it a token with `headland token create --service`."""
    with connect(workspace) as ws:
        member = ws.members.create_service(name, role.value)
    show(member, f"{member.principal} is a {member.role} of {ws.name}")


@service_app.command("delete", epilog="Example: headland service delete ci")
def delete_service(name: str, workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """End a service: its tokens are refused from the next request on."""
    with connect(workspace) as ws:
        ws.members.delete_service(name)
    show({"service": name}, f"service {name} has ended")
