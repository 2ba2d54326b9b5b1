"""`headland image`: builds of images, and images as files."""

from pathlib import Path
from typing import Annotated

import typer

from cloud_hub.cli.following import Follower
from cloud_hub.cli.output import Format, Output, as_json, console, show, show_table, size
from cloud_hub.cli.session import WorkspaceOption, group
from cloud_hub.cli.session import workspace as connect
from cloud_hub.sdk import Image
from cloud_hub.sdk.image_export import ExportFormat

app = group("Images: a model with all it needs to score.")


@app.command(epilog="Example: headland image build digits --model digits:1 --base debian")
def build(
    name: str,
    model: Annotated[str, typer.Option(help="name:version, or name for the newest.")],
    script: Annotated[Path | None, typer.Option(help="score.py with init() and run(raw_data).")] = None,
    base: Annotated[
        str, typer.Option(help="host: the hub's own Python; debian: packages of Debian 12.")
    ] = "host",
    platform: Annotated[
        str, typer.Option(help="linux/amd64, linux/arm64, or both with a comma; else the hub's own.")
    ] = "",
    compression: Annotated[
        str, typer.Option(help="gzip, which every engine reads, or zstd, which is smaller and faster.")
    ] = "gzip",
    requirements: Annotated[Path | None, typer.Option(help="A requirements.txt.")] = None,
    pyproject: Annotated[
        Path | None, typer.Option(help="A pyproject.toml; its dependencies are taken.")
    ] = None,
    conda: Annotated[
        Path | None, typer.Option(help="A conda environment file; its pip part is taken.")
    ] = None,
    lock: Annotated[
        Path | None, typer.Option(help="A lock of an image: the same packages once more.")
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for it.")] = False,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Build the next version of an image of a model, and wait for it; Ctrl-C leaves it running."""
    with connect(workspace) as ws:
        begun = ws.start_build(
            name,
            model,
            script,
            base=base,
            platforms=[one.strip() for one in platform.split(",") if one.strip()],
            compression=compression,
            requirements=requirements,
            pyproject=pyproject,
            conda=conda,
            lock=lock,
        )
        if detach:
            show(begun, f"image-build {begun.id} is queued; headland activity follow {begun.id}")
            return
        with Follower(begun.id, streamed=False) as follower:
            done = ws.wait(begun.id, follower)
        image = ws.image((done.result or {})["image"])
    show(image, f"{image.name}:{image.version} built, {size(image.size_bytes)}, {image.digest}")
    if not as_json():
        _show_layers(image)


@app.command("export", epilog="Example: headland image export digits:1 digits.tar")
def export(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="name:version, or name for the newest.")],
    file: Annotated[Path, typer.Argument(help="The tar to write.")],
    form: Annotated[
        str, typer.Option("--format", help="oci: an OCI image layout; docker: what docker load reads.")
    ] = "oci",
    platform: Annotated[str | None, typer.Option(help="Only this platform, such as linux/arm64.")] = None,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Write an image into a tar file, for a machine that cannot reach the hub."""
    chosen: dict[str, ExportFormat] = {"oci": "oci", "docker": "docker"}
    if form not in chosen:
        raise typer.BadParameter("oci or docker", param_hint="--format")
    with connect(workspace) as ws:
        written = ws.export_image(image, file, form=chosen[form], platform=platform)
    show({"file": str(file), "size_bytes": written}, f"{file} written, {size(written)}")


def _show_layers(image: Image) -> None:
    rows = [
        (one.platform, layer.title, size(layer.size_bytes)) for one in image.platforms for layer in one.layers
    ]
    console.print()
    show_table(image.platforms, ["platform", "layer", "size"], rows)
