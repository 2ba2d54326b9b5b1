"""`headland secret`. A value comes from a file or standard input, never from the command line."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cloud_hub.cli.output import Format, Output, as_json, show, show_table
from cloud_hub.cli.secret_input import read_value
from cloud_hub.cli.session import WorkspaceOption, group
from cloud_hub.cli.session import workspace as connect
from cloud_hub.sdk import Secret

app = group("Secrets: passwords and keys that the workspace keeps.")

COLUMNS = ["secret", "set by", "set", "destroyed by", "destroyed"]


@app.command("set", epilog="Example: headland secret set db-password --from-file db.password")
def set_(
    name: str,
    from_file: Annotated[
        Path | None, typer.Option(help="A file with the value; else it is read from standard input.")
    ] = None,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Store a value as the next version of a secret."""
    value = read_value(from_file, option="--from-file")
    with connect(workspace) as ws:
        version = ws.set_secret(name, value).version
    show({"name": name, "version": version}, f"{name}:{version} is stored")


@app.command("list", epilog="Example: headland secret list")
def list_(workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Show the secrets and their versions, without any value."""
    with connect(workspace) as ws:
        found = ws.secrets()
    show_table(found, COLUMNS, _rows(found))


@app.command("show", epilog="Example: headland secret show db-password")
def show_(name: str, workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Show a secret's versions, without any value."""
    with connect(workspace) as ws:
        found = ws.secret(name)
    if as_json():
        show(found, "")
        return
    show_table([found], COLUMNS, _rows([found]))


@app.command(epilog="Example: headland secret get db-password > db.password")
def get(
    secret: Annotated[str, typer.Argument(help="NAME, or NAME:VERSION.")],
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Print a value, byte for byte; the audit log tells that it was read."""
    with connect(workspace) as ws:
        value = ws.get_secret(secret)
    if as_json():
        show({"secret": secret, "value": value}, "")
        return
    sys.stdout.buffer.write(value.encode())
    if sys.stdout.isatty():
        sys.stdout.write("\n")


@app.command(epilog="Example: headland secret delete db-password:1")
def delete(
    secret: Annotated[str, typer.Argument(help="NAME for all its versions, or NAME:VERSION.")],
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Destroy a version of a secret, or all of it. There is no way back."""
    with connect(workspace) as ws:
        destroyed = ws.delete_secret(secret)
    name = secret.partition(":")[0]
    words = ", ".join(f"{name}:{version}" for version in destroyed)
    show({"name": name, "destroyed": destroyed}, f"destroyed: {words}")


def _rows(secrets: Sequence[Secret]) -> list[tuple[object, ...]]:
    return [
        (f"{secret.name}:{v.version}", v.created_by, v.created_at, v.destroyed_by, v.destroyed_at)
        for secret in secrets
        for v in secret.versions
    ]
