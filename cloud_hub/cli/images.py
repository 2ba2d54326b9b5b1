"""`headland image`: images and their builds."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import TimeElapsedColumn

from cloud_hub.cli.output import Format, Output, bar_of, show, show_table, size
from cloud_hub.cli.session import WorkspaceOption, group
from cloud_hub.cli.session import workspace as connect
from cloud_hub.sdk import Activity

app = group("Images: a model with all it needs to score.")


@app.command(epilog="Example: headland image build digits --model digits:1")
def build(
    name: str,
    model: Annotated[str, typer.Option(help="name:version, or name for the newest.")],
    script: Annotated[Path | None, typer.Option(help="score.py with init() and run(raw_data).")] = None,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Build the next version of an image of a model, and wait for it."""
    with connect(workspace) as ws, bar_of(TimeElapsedColumn()) as bar:
        task = bar.add_task("queued", total=1.0)

        def follow(activity: Activity) -> None:
            line = activity.log[-1]["text"] if activity.log else activity.state
            bar.update(task, completed=activity.progress, description=line)

        image = ws.build_image(name, model, script, follow)
    show(image, f"{image.name}:{image.version} built, {size(image.size_bytes)}, {image.digest}")


@app.command("list", epilog="Example: headland image list")
def list_images(workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Show all versions of all images."""
    with connect(workspace) as ws:
        images = ws.images()
    rows = [(f"{i.name}:{i.version}", i.model, size(i.size_bytes), i.digest, i.created_at) for i in images]
    show_table(images, ["image", "model", "size", "digest", "created"], rows)


@app.command("show", epilog="Example: headland image show digits:1")
def show_image(image: str, workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Show an image and its layers."""
    with connect(workspace) as ws:
        info = ws.image(image)
    lines = [f"{info.name}:{info.version} of model {info.model}, {size(info.size_bytes)}, {info.digest}"]
    lines += [f"  {size(layer.size_bytes):>10}  {layer.title}" for layer in info.layers]
    show(info, "\n".join(lines))
