"""`headland image`: builds of images, and images as files."""

from pathlib import Path
from typing import Annotated

import typer

from cloud_hub.cli.build_options import (
    AllowSourceBuilds,
    Base,
    BaseSecret,
    Compression,
    Conda,
    Detach,
    FpgaData,
    FpgaPrecision,
    FpgaReuseFactor,
    Kind,
    Lock,
    Model,
    Platform,
    Pyproject,
    Requirements,
    Script,
)
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
    model: Model,
    script: Script = None,
    base: Base = "host",
    base_secret: BaseSecret = None,
    platform: Platform = "",
    compression: Compression = "gzip",
    requirements: Requirements = None,
    pyproject: Pyproject = None,
    conda: Conda = None,
    lock: Lock = None,
    allow_source_builds: AllowSourceBuilds = False,
    kind: Kind = "cpu",
    fpga_precision: FpgaPrecision = "ap_fixed<16,6>",
    fpga_reuse_factor: FpgaReuseFactor = 1,
    fpga_data: FpgaData = None,
    detach: Detach = False,
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
            base_secret=base_secret,
            platforms=[one.strip() for one in platform.split(",") if one.strip()],
            compression=compression,
            requirements=requirements,
            pyproject=pyproject,
            conda=conda,
            lock=lock,
            allow_source_builds=allow_source_builds,
            kind=kind,
            fpga_precision=fpga_precision,
            fpga_reuse_factor=fpga_reuse_factor,
            fpga_data=fpga_data,
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
