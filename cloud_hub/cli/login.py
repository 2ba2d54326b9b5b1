"""`headland login`: work with a hub that somebody else made."""

from pathlib import Path
from typing import Annotated

import typer

from cloud_hub.cli.output import Format, Output, show
from cloud_hub.sdk import Context, Hub, SdkError
from cloud_hub.sdk.context import save_context


def login(
    hub: Annotated[str, typer.Argument(help="Its address, such as https://hub.example.org:8443.")],
    ca_file: Annotated[Path, typer.Option(help="The hub's CA certificate (pki/ca.pem in its folder).")],
    token_file: Annotated[Path, typer.Option(help="A file with the token of `headland token create`.")],
    output: Output = Format.TEXT,
) -> None:
    """Work with a hub from now on. The token is read from a file, never from the command line."""
    try:
        ca_pem, token = ca_file.read_text(), token_file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SdkError(f"cannot read the file ({error})", fix="Check --ca-file and --token-file.") from error
    with Hub(Context(hub=hub.rstrip("/"), ca_pem=ca_pem, token=token)) as connection:
        workspaces = connection.workspaces()
        save_context(connection.context)
        if len(workspaces) == 1:
            connection.use_workspace(workspaces[0].name)
    names = ", ".join(workspace.name for workspace in workspaces) or "none"
    show({"hub": hub, "workspaces": [w.name for w in workspaces]}, f"logged in at {hub}; workspaces: {names}")
