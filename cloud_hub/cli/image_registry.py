"""`headland image`: the image registry, beside the builds of `cloud_hub.cli.images`."""

import sys
from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec
import typer

from cloud_hub.cli.images import app
from cloud_hub.cli.output import Format, Output, cell, show, show_table, size
from cloud_hub.cli.pairs import Pairs, joined, pairs, tag_changes
from cloud_hub.cli.session import WorkspaceOption
from cloud_hub.cli.session import workspace as connect
from cloud_hub.cli.version_options import (
    After,
    Before,
    ChangedDescription,
    Latest,
    Limit,
    NamePattern,
    NewDescription,
    NewTags,
    Order,
    RemovedTags,
    TagFilter,
    Tags,
    utc,
)
from cloud_hub.sdk import Attached, Image, ImagePlatform, ImageUse, Workspace

__all__ = ["app"]

BAR = 30
PACKAGES = 8
Image_ = Annotated[str, typer.Argument(metavar="IMAGE", help="name:version, or name for the newest.")]


@app.command(epilog="Example: headland image register digits --from edge-7 --model digits:3 --tag stage=test")
def register(
    name: str,
    reference: Annotated[
        str, typer.Option("--from", metavar="TAG_OR_DIGEST", help="What was pushed to WORKSPACE/NAME.")
    ],
    model: Annotated[
        Pairs, typer.Option(help="A model inside, name:version, or name for the newest; may be repeated.")
    ] = None,
    tag: NewTags = None,
    description: NewDescription = "",
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Register an image that another tool pushed as the next version; all of it must be there."""
    with connect(workspace) as ws:
        image = ws.register_image(
            name, reference, models=model or (), tags=pairs(tag), description=description
        )
    show(image, f"{image.name}:{image.version} registered, {size(image.size_bytes)}, {image.digest}")


@app.command(
    "list", epilog="Example: headland image list 'digits*' --tag stage=prod --platform linux/arm64 --latest"
)
def list_(
    name: NamePattern = None,
    tag: TagFilter = None,
    model: Annotated[
        str | None, typer.Option(help="Only with this model inside: name:version, or name.")
    ] = None,
    platform: Annotated[str | None, typer.Option(help="Only for this platform, such as linux/arm64.")] = None,
    digest: Annotated[
        str | None, typer.Option(help="Only with this digest: index, manifest, layer or diff id.")
    ] = None,
    package: Annotated[
        str | None, typer.Option(help="Only with this package in the SBOM: name==version, or name.")
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Only with a layer of this title; * and ? stand for anything.")
    ] = None,
    log: Annotated[str | None, typer.Option(help="Only with this text in a line of the build log.")] = None,
    base: Annotated[str | None, typer.Option(help="Only on this base; * and ? stand for anything.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only of this kind: cpu, fpga or pushed.")] = None,
    min_bytes: Annotated[int | None, typer.Option(min=0, help="Only of at least so many bytes.")] = None,
    max_bytes: Annotated[int | None, typer.Option(min=0, help="Only of at most so many bytes.")] = None,
    by: Annotated[
        str | None, typer.Option("--created-by", "--by", help="Only built or registered by this person.")
    ] = None,
    after: After = None,
    before: Before = None,
    latest: Latest = False,
    order: Order = "name",
    limit: Limit = None,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Find images: all versions, or those for which everything holds that is said."""
    with connect(workspace) as ws:
        images = ws.images(
            name,
            tags=tag or (),
            model=model,
            platform=platform,
            digest=digest,
            package=package,
            layer=layer,
            log=log,
            base=base,
            kind=kind,
            min_bytes=min_bytes,
            max_bytes=max_bytes,
            created_by=by,
            created_after=utc(after),
            created_before=utc(before),
            latest=latest,
            order=order,
            limit=limit,
        )
    columns = ["image", "models", "platforms", "size", "tags", "digest", "created"]
    show_table(images, columns, [_line(image) for image in images])


@app.command("show", epilog="Example: headland image show digits:1, or headland image show digits:1 --sbom")
def show_(
    image: Image_,
    sbom: Annotated[bool, typer.Option("--sbom", help="Print the SBOM and nothing else.")] = False,
    provenance: Annotated[
        bool, typer.Option("--provenance", help="Print the provenance and nothing else.")
    ] = False,
    lock: Annotated[
        bool, typer.Option("--lock", help="Print the lock of the wheels and nothing else.")
    ] = False,
    log: Annotated[bool, typer.Option("--log", help="Print the build log and nothing else.")] = False,
    platform: Annotated[
        str | None, typer.Option(help="Of this platform, such as linux/arm64; for what is printed alone.")
    ] = None,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Show an image: platforms, size by layer, models, tags, what is attached and where it is used."""
    asked = [
        what
        for what, one in (("sbom", sbom), ("provenance", provenance), ("lock", lock), ("log", log))
        if one
    ]
    if len(asked) > 1:
        raise typer.BadParameter(f"one of {', '.join(f'--{what}' for what in asked)} at a time")
    with connect(workspace) as ws:
        if asked:
            _print(_document(ws, image, asked[0], platform))
            return
        info = ws.image(image)
        name = f"{info.name}:{info.version}"
        attached, packages, uses = ws.image_attached(name), ws.image_packages(name), ws.image_uses(name)
    value = {**msgspec.to_builtins(info), "attached": attached, "packages": packages, "uses": uses}
    show(value, "\n".join([*_facts(info), *_attached(attached, packages), *_uses(uses)]))


@app.command(epilog="Example: headland image tag digits:1 stage=prod --remove candidate")
def tag(
    image: Image_,
    tags: Tags = None,
    remove: RemovedTags = None,
    description: ChangedDescription = None,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Set and take away tags of a version, and change its description."""
    with connect(workspace) as ws:
        info = ws.change_image(image, description=description, tags=tag_changes(tags, remove))
    show(info, f"{info.name}:{info.version}  {joined(info.tags) or 'no tags'}")


@app.command(epilog="Example: headland image delete digits:1")
def delete(image: Image_, workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Delete a version that no deployment uses; its number is not given again."""
    with connect(workspace) as ws:
        ws.delete_image(image)
    show({"deleted": image}, f"{image} deleted")


def _print(data: bytes) -> None:
    """Write a document as it is; on a terminal the prompt begins on a line of its own."""
    sys.stdout.buffer.write(data)
    if sys.stdout.isatty() and not data.endswith(b"\n"):
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()


def _document(ws: Workspace, image: str, what: str, platform: str | None) -> bytes:
    if what == "log" and platform is None:
        return ws.image_log(image).encode()
    return ws.image_document(image, what, platform=platform)


def _line(image: Image) -> Sequence[object]:
    return (
        f"{image.name}:{image.version}",
        ", ".join(image.models),
        ", ".join(one.platform for one in image.platforms),
        size(image.size_bytes),
        joined(image.tags),
        image.digest[:19],
        image.created_at,
    )


def _facts(info: Image) -> Iterator[str]:
    yield f"{info.name}:{info.version}  {info.kind}, {size(info.size_bytes)}, {info.digest}"
    if info.description:
        yield f"  {info.description}"
    for model in info.models:
        yield f"  model {model}"
    for key, value in info.tags.items():
        yield f"  tag {key} = {value}"
    yield f"  base {info.base or '-'}, layers {info.compression}"
    by = f"built by activity {info.activity} of" if info.activity else "registered by"
    yield f"  {by} {info.created_by}, {cell(info.created_at)}"
    for platform in info.platforms:
        yield from _platform(platform)


def _platform(one: ImagePlatform) -> Iterator[str]:
    yield f"  {one.platform or 'platform not known'}: {size(one.size_bytes)}, {one.digest}"
    largest = max((layer.size_bytes for layer in one.layers), default=0)
    for layer in one.layers:
        bar = "#" * round(BAR * layer.size_bytes / largest) if largest else ""
        yield f"    {size(layer.size_bytes):>10}  {bar:<{BAR}}  {layer.title}"


def _attached(attached: Sequence[Attached], packages: Sequence[str]) -> Iterator[str]:
    if packages:
        more = ", ..." if len(packages) > PACKAGES else ""
        yield f"  {len(packages)} packages: {', '.join(packages[:PACKAGES])}{more}"
    for one in attached:
        of = f" of {one.platform}" if one.platform else ""
        yield f"  attached {one.what or one.artifact_type}{of}: {one.media_type}, {size(one.size_bytes)}"


def _uses(uses: Sequence[ImageUse]) -> Iterator[str]:
    for use in uses:
        why = f"rollout {use.rollout}" if use.rollout else "as the device reports"
        yield f"  used on device {use.device} as {use.module}: {why}"
