"""`headland model` and `headland image`."""

from pathlib import Path
from typing import Annotated

import typer

from cloud_hub.cli.following import Follower
from cloud_hub.cli.output import Format, Output, show, show_table, size
from cloud_hub.cli.session import WorkspaceOption, group
from cloud_hub.cli.session import workspace as connect

model_app = group("Models: name and version, with the run they came from.")
image_app = group("Images: a model with all it needs to score.")


@model_app.command(epilog="Example: headland model register digits model.onnx --run 3f0c... --tag stage=test")
def register(
    name: str,
    path: Annotated[Path, typer.Argument(help="A self-contained ONNX file.")],
    run: Annotated[str | None, typer.Option(help="The run that made it.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="key=value; may be repeated.")] = None,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Register a file as the next version of a model."""
    tags = dict(text.partition("=")[::2] for text in tag or ())
    with connect(workspace) as ws:
        model = ws.register_model(name, path, run=run, tags=tags)
    show(model, f"{model.name}:{model.version} registered, {size(model.size_bytes)}, {model.digest}")


@model_app.command("list", epilog="Example: headland model list")
def list_models(workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Show all versions of all models."""
    with connect(workspace) as ws:
        models = ws.models()
    rows = [(f"{m.name}:{m.version}", size(m.size_bytes), m.run, m.created_by, m.created_at) for m in models]
    show_table(models, ["model", "size", "run", "by", "created"], rows)


@model_app.command("show", epilog="Example: headland model show digits:1")
def show_model(model: str, workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Show a model: signature, lineage, tags."""
    with connect(workspace) as ws:
        info = ws.model(model)
    lines = [f"{info.name}:{info.version}  {info.framework}, {size(info.size_bytes)}, {info.digest}"]
    for side in ("inputs", "outputs"):
        lines += [
            f"  {side[:-1]} {value['name']}: {value['type']} {value.get('shape', '')}"
            for value in info.signature[side]
        ]
    lines += [f"  run {info.run or '-'}", *(f"  tag {key} = {value}" for key, value in info.tags.items())]
    show(info, "\n".join(lines))


@image_app.command(epilog="Example: headland image build digits --model digits:1")
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


@image_app.command("list", epilog="Example: headland image list")
def list_images(workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Show all versions of all images."""
    with connect(workspace) as ws:
        images = ws.images()
    rows = [(f"{i.name}:{i.version}", i.model, size(i.size_bytes), i.digest, i.created_at) for i in images]
    show_table(images, ["image", "model", "size", "digest", "created"], rows)


@image_app.command("show", epilog="Example: headland image show digits:1")
def show_image(image: str, workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Show an image and its layers."""
    with connect(workspace) as ws:
        info = ws.image(image)
    lines = [f"{info.name}:{info.version} of model {info.model}, {size(info.size_bytes)}, {info.digest}"]
    lines += [f"  {size(layer.size_bytes):>10}  {layer.title}" for layer in info.layers]
    show(info, "\n".join(lines))
