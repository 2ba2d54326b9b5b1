"""`headland user`: the hub's people, for its administrator."""

from pathlib import Path
from typing import Annotated

import typer

from cloud_hub.cli.output import Format, Output, show, show_table
from cloud_hub.cli.secret_input import write_private
from cloud_hub.cli.session import group
from cloud_hub.sdk import Hub
from cloud_hub.sdk.access_types import UserInvitation
from cloud_hub.sdk.context import LoginInvitation
from contract.encoding import encode

app = group("People of the hub; its administrator makes them.")

InvitationFile = Annotated[Path, typer.Option("--file", help="Where to write the invitation.")]


@app.command(epilog="Example: headland user create ana --file ana.json")
def create(
    name: str,
    file: InvitationFile,
    admin: Annotated[bool, typer.Option("--admin", help="They administer the hub too.")] = False,
    output: Output = Format.TEXT,
) -> None:
    """Add a person, and write the invitation with which they choose a password."""
    with Hub.connect() as hub:
        write_private(file, lambda: _invitation(hub, hub.users.create(name, admin=admin)))
    _show_invitation(name, file)


@app.command(epilog="Example: headland user invite ana --file ana.json")
def invite(name: str, file: InvitationFile, output: Output = Format.TEXT) -> None:
    """Let a person choose a new password: theirs is lost, or they never logged in."""
    with Hub.connect() as hub:
        write_private(file, lambda: _invitation(hub, hub.users.invite(name)))
    _show_invitation(name, file)


@app.command("list", epilog="Example: headland user list")
def list_(output: Output = Format.TEXT) -> None:
    """Show everyone."""
    with Hub.connect() as hub:
        users = hub.users.all()
    rows = [(u.name, "yes" if u.admin else "", u.created_by, u.created_at, u.disabled_at) for u in users]
    show_table(users, ["user", "administrator", "by", "created", "disabled"], rows)


@app.command(epilog="Example: headland user disable ana")
def disable(name: str, output: Output = Format.TEXT) -> None:
    """Lock a person out: every login and token of theirs ends now."""
    with Hub.connect() as hub:
        user = hub.users.change(name, disabled=True)
    show(user, f"{name} is disabled; their tokens have ended")


@app.command(epilog="Example: headland user enable ana")
def enable(name: str, output: Output = Format.TEXT) -> None:
    """Let a disabled person log in again, with the password they had."""
    with Hub.connect() as hub:
        user = hub.users.change(name, disabled=False)
    show(user, f"{name} may log in again")


@app.command(epilog="Example: headland user admin ana --revoke")
def admin(
    name: str,
    revoke: Annotated[bool, typer.Option("--revoke", help="Take it away.")] = False,
    output: Output = Format.TEXT,
) -> None:
    """Make a person an administrator of the hub, or no longer."""
    with Hub.connect() as hub:
        user = hub.users.change(name, admin=not revoke)
    show(user, f"{name} is {'no longer ' if revoke else ''}an administrator; it counts from their next login")


def _invitation(hub: Hub, made: UserInvitation) -> bytes:
    context = hub.context
    return encode(LoginInvitation(hub=context.hub, ca_pem=context.ca_pem, user=made.user, token=made.token))


def _show_invitation(name: str, file: Path) -> None:
    show(
        {"user": name, "file": str(file)},
        f"invitation of {name} is in {file}; it works once, for 72 h.\n"
        f"On their machine: headland login --invitation {file.name}",
    )
