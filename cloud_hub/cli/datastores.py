"""`headland datastore`."""

from pathlib import Path
from typing import Annotated

import typer

from cloud_hub.cli.output import Format, Output, show, show_table, size
from cloud_hub.cli.progress import bytes_bar
from cloud_hub.cli.session import WorkspaceOption, group
from cloud_hub.cli.session import workspace as connect

app = group("Datastores: where the workspace's files are.")

Store = Annotated[str, typer.Option("--datastore", "-d", help="Its name; else the workspace's default.")]


@app.command(epilog="Example: headland datastore attach photos s3://shop-photos/raw --secret photos-key")
def attach(
    name: str,
    url: Annotated[
        str, typer.Argument(help="s3://..., az://..., gs://..., /folder; `hub:` for the hub's own store.")
    ] = "hub:",
    secret: Annotated[str | None, typer.Option(help="The secret with its credentials, as JSON.")] = None,
    default: Annotated[bool, typer.Option("--default", help="Make it the workspace's default.")] = False,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Attach a bucket, container or folder; it is tried once before it is kept."""
    with connect(workspace) as ws:
        info = ws.datastores.attach(name, url, secret=secret, default=default)
    show(info, f"datastore {info.name} is attached: {info.url}")


@app.command(epilog="Example: headland datastore detach photos")
def detach(name: str, workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Forget a datastore; its files stay where they are."""
    with connect(workspace) as ws:
        ws.datastores.detach(name)
    show({"datastore": name}, f"datastore {name} is detached")


@app.command("default", epilog="Example: headland datastore default photos")
def default_(name: str, workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Make it the datastore that is meant where none is named."""
    with connect(workspace) as ws:
        info = ws.datastores.make_default(name)
    show(info, f"datastore {name} is the default now")


@app.command("list", epilog="Example: headland datastore list")
def list_(workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Show the datastores."""
    with connect(workspace) as ws:
        found = ws.datastores.all()
    rows = [
        (
            d.name,
            d.url,
            d.secret,
            "yes" if d.is_default else "",
            "yes" if d.is_telemetry else "",
            d.created_by,
        )
        for d in found
    ]
    show_table(found, ["datastore", "address", "secret", "default", "telemetry", "by"], rows)


@app.command(epilog="Example: headland datastore files raw/2026 --datastore photos")
def files(
    prefix: Annotated[str, typer.Argument(help="Only below this path.")] = "",
    datastore: Store = "",
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Show the files in a datastore."""
    with connect(workspace) as ws:
        found = list(ws.datastores.open(datastore).files(prefix))
    show_table(found, ["file", "size"], [(file.key, size(file.size_bytes)) for file in found])


@app.command(epilog="Example: headland datastore upload ./photos raw/2026 --datastore photos")
def upload(
    path: Annotated[Path, typer.Argument(help="A file, or a folder with all that is in it.")],
    to: Annotated[str, typer.Argument(help="Path in the datastore; ends with / for a folder.")] = "",
    datastore: Store = "",
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Put files into a datastore; each is checked by its digest."""
    total = sum(
        file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()
    )
    with connect(workspace) as ws, bytes_bar(f"upload {path.name}", total) as moved:
        stored = ws.datastores.open(datastore).upload(path, to, moved)
    files = "1 file is" if len(stored) == 1 else f"{len(stored)} files are"
    show(stored, f"{files} stored, {size(total)}")


@app.command(epilog="Example: headland datastore download raw/2026/a.jpg --to ./photos --datastore photos")
def download(
    key: Annotated[str, typer.Argument(metavar="PATH", help="Path in the datastore.")],
    to: Annotated[Path, typer.Option(help="File or folder to write.")] = Path(),
    datastore: Store = "",
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Write a file of a datastore here, whole or not at all."""
    with connect(workspace) as ws, bytes_bar(f"download {key}") as moved:
        target = ws.datastores.open(datastore).download(key, to, moved)
    show({"file": str(target)}, f"{target} is written, {size(target.stat().st_size)}")


@app.command(epilog="Example: headland datastore delete raw/2026/a.jpg --datastore photos")
def delete(
    key: Annotated[str, typer.Argument(metavar="PATH", help="Path in the datastore.")],
    datastore: Store = "",
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Delete a file in a datastore."""
    with connect(workspace) as ws:
        ws.datastores.open(datastore).delete(key)
    show({"file": key}, f"{key} is deleted")
