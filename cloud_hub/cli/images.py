"""`headland image`: images and their builds."""

from pathlib import Path
from typing import Annotated

import typer

from cloud_hub.cli.following import Follower
from cloud_hub.cli.output import Format, Output, show, show_table, size
from cloud_hub.cli.session import WorkspaceOption, group
from cloud_hub.cli.session import workspace as connect

app = group("Images: a model with all it needs to score.")


@app.command(epilog="Example: headland image build digits --model digits:1")
def build(
    name: str,
    model: Annotated[str, typer.Option(help="name:version, or name for the newest.")],
    script: Annotated[Path | None, typer.Option(help="score.py with init() and run(raw_data).")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for it.")] = False,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Build the next version of an image of a model, and wait for it; Ctrl-C leaves it running."""
    with connect(workspace) as ws:
        begun = ws.start_build(name, model, script)
        if detach:
            show(begun, f"image-build {begun.id} is queued; headland activity follow {begun.id}")
            return
        with Follower(begun.id, streamed=False) as follower:
            done = ws.wait(begun.id, follower)
        image = ws.image((done.result or {})["image"])
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
