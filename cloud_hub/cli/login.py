"""`headland login`, `logout`, `whoami`, `password`: who you are on which hub."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cloud_hub.cli.output import Format, Output, show
from cloud_hub.cli.secret_input import ask_password, read_file
from cloud_hub.sdk import Context, Hub, SdkError
from cloud_hub.sdk.access_types import NewToken
from cloud_hub.sdk.context import LoginInvitation, load_context, save_context
from contract.encoding import decode


def login(
    hub: Annotated[str, typer.Argument(help="Its address, such as https://hub.example.org:8443.")] = "",
    ca_file: Annotated[Path | None, typer.Option(help="The hub's CA certificate.")] = None,
    user: Annotated[str, typer.Option(help="Your name; the password is asked for.")] = "",
    token_file: Annotated[Path | None, typer.Option(help="A file with a token, instead of --user.")] = None,
    invitation: Annotated[
        Path | None, typer.Option(help="The file of `headland user create`: all that a first login needs.")
    ] = None,
    output: Output = Format.TEXT,
) -> None:
    """Work with a hub from now on. Secrets come from files or the terminal, never from the command line."""
    if invitation is not None:
        context = _accept(invitation)
    elif hub and ca_file is not None and bool(user) != (token_file is not None):
        context = Context(hub=hub.rstrip("/"), ca_pem=read_file(ca_file, option="--ca-file"), token="")
        if token_file is not None:
            context = _with(context, read_file(token_file, option="--token-file").strip())
        else:
            with Hub(context) as connection:
                context = _with(context, connection.session.log_in(user, ask_password("Password")).token)
    else:
        raise SdkError(
            "it is not clear how to log in",
            fix="Give --invitation FILE, or HUB --ca-file FILE and one of --user NAME and --token-file FILE.",
        )
    with Hub(context) as connection:
        names = [workspace.name for workspace in connection.workspaces()]
        save_context(connection.context)
        if len(names) == 1:
            connection.use_workspace(names[0])
    show(
        {"hub": context.hub, "workspaces": names},
        f"logged in at {context.hub}; workspaces: {', '.join(names) or 'none'}",
    )


def logout(output: Output = Format.TEXT) -> None:
    """End the token of this login, at the hub and here."""
    with Hub.connect() as hub:
        hub.session.log_out()
        save_context(_with(hub.context, ""))
    show({"hub": hub.context.hub}, f"logged out at {hub.context.hub}")


def whoami(output: Output = Format.TEXT) -> None:
    """Show who you are, and what you are where."""
    with Hub.connect() as hub:
        me = hub.session.me()
    lines = [f"{me.principal} at {hub.context.hub}{', administrator' if me.admin else ''}"]
    lines += [f"  {workspace}: {role}" for workspace, role in me.roles.items()]
    show(me, "\n".join(lines))


def password(output: Output = Format.TEXT) -> None:
    """Change your password; all your other logins and tokens end."""
    with Hub.connect() as hub:
        old, new = ask_password("Present password"), ask_password("New password", twice=True)
        made = hub.session.change_password(old, new)
        save_context(_with(load_context(), made.token))
    show(
        {"principal": made.principal}, f"the password of {made.principal} is changed; other tokens have ended"
    )


def _accept(path: Path) -> Context:
    ask = decode(read_file(path, option="--invitation").encode(), LoginInvitation, what="invitation")
    context = Context(hub=ask.hub, ca_pem=ask.ca_pem, token="")
    with Hub(context) as connection:
        made: NewToken = connection.session.accept(
            ask.token, ask_password(f"New password of {ask.user}", twice=True)
        )
    return _with(context, made.token)


def _with(context: Context, token: str) -> Context:
    return msgspec.structs.replace(context, token=token)
