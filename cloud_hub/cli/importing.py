"""`headland import`: deployments of other platforms as manifests of rollouts; no hub is needed."""

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console

from cloud_hub.cli.output import Format, Output, as_json, console, show
from cloud_hub.cli.pairs import Pairs, pairs
from cloud_hub.cli.session import group
from cloud_hub.importing.errors import ImportFileError, ImportNotCarriedError, ImportUnavailableError

if TYPE_CHECKING:
    from cloud_hub.importing.imported import Imported, Remark

app = group("Deployments of other platforms as manifests of rollouts.")

MOST_BYTES = 256 * 1024
File = Annotated[Path, typer.Argument(metavar="FILE", help="The deployment.")]
Out = Annotated[Path | None, typer.Option("--file", "-f", help="Write the manifest here, not to the screen.")]
Name = Annotated[str, typer.Option(help="Name of the rollout; else the deployment's.")]
Devices = Annotated[list[str] | None, typer.Option("--device", help="A device it is for; may be repeated.")]
Tags = Annotated[
    Pairs, typer.Option("--tag", help="tag=value that all devices have which it is for; may be repeated.")
]
Values = Annotated[
    Pairs, typer.Option("--set", help="NAME=VALUE for a placeholder of the file; may be repeated.")
]
ChosenImages = Annotated[
    Pairs,
    typer.Option("--image", help="REFERENCE=NAME:VERSION: the image that takes its place; may be repeated."),
]
Strict = Annotated[bool, typer.Option("--strict", help="Fail, and write nothing, if anything is left out.")]


@app.command("iot-edge", epilog="Example: headland import iot-edge deployment.json --file rollout.yaml")
def iot_edge(
    source: File,
    file: Out = None,
    name: Name = "",
    device: Devices = None,
    tag: Tags = None,
    values: Values = None,
    image: ChosenImages = None,
    strict: Strict = False,
    output: Output = Format.TEXT,
) -> None:
    """Make a rollout's manifest of a deployment of Azure IoT Edge; list by path what it cannot have."""
    core = _core()
    choices = core.Choices(name, tuple(device or ()), tuple(pairs(tag).items()))
    document = core.read_document(_read(source), str(source))
    found = core.import_iot_edge(
        document, file=str(source), choices=choices, values=pairs(values), images=core.images(pairs(image))
    )
    _answer(found, file, strict=strict)


@app.command(
    epilog="Example: headland import greengrass deployment.json --recipe recipe.yaml --file rollout.yaml"
)
def greengrass(
    source: File,
    recipe: Annotated[
        list[Path] | None, typer.Option(help="The recipe of a component (YAML or JSON); may be repeated.")
    ] = None,
    file: Out = None,
    name: Name = "",
    device: Devices = None,
    tag: Tags = None,
    values: Values = None,
    image: ChosenImages = None,
    strict: Strict = False,
    output: Output = Format.TEXT,
) -> None:
    """Make a rollout's manifest of the containers of a deployment or recipe of AWS IoT Greengrass v2."""
    core = _core()
    choices = core.Choices(name, tuple(device or ()), tuple(pairs(tag).items()))
    files = [source, *(recipe or ())]
    documents = [(str(one), core.read_document(_read(one), str(one), yaml=True)) for one in files]
    found = core.import_greengrass(
        documents[0],
        documents[1:],
        choices=choices,
        values=pairs(values),
        images=core.images(pairs(image)),
    )
    _answer(found, file, strict=strict)


def _core() -> ModuleType:
    try:
        # Not with the commands: it needs what the extra `cli` alone does not install.
        from cloud_hub.importing import importers  # noqa: PLC0415
    except ImportError as error:
        raise ImportUnavailableError(
            f"{error.name} is not installed on this machine",
            where="import",
            fix="pip install 'headland[hub]'",
        ) from error
    return importers


def _read(source: Path) -> bytes:
    try:
        with source.open("rb") as stream:
            return stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise ImportFileError(
            f"the file cannot be read ({error.strerror})",
            where=str(source),
            fix="Check the name of the file.",
        ) from error


def _answer(found: "Imported", out: Path | None, *, strict: bool) -> None:
    """Print what became of it, and give the manifest to the file or the screen."""
    refused = strict and bool(found.not_carried)
    written = None if refused else out
    if written is not None:
        _write(written, found.manifest)
    if as_json():
        show({**msgspec.to_builtins(found), "file": str(written) if written is not None else None}, "")
    else:
        # The manifest alone goes to standard output, so that it can be piped.
        aside = Console(stderr=True, highlight=False, width=console.width)
        _tell(found, written, aside if out is None else console)
        if out is None and not refused:
            typer.echo(found.manifest, nl=False)
    if refused:
        raise ImportNotCarriedError(
            f"{len(found.not_carried)} values are not carried over",
            where=found.not_carried[0].file,
            fix="Nothing was written. See the list; without --strict the manifest is written all the same.",
        )


def _write(out: Path, manifest: str) -> None:
    try:
        out.write_text(manifest, encoding="utf-8")
    except OSError as error:
        raise ImportFileError(
            f"the file cannot be written ({error.strerror})", where=str(out), fix="Check --file."
        ) from error


def _tell(found: "Imported", written: Path | None, place: Console) -> None:
    lines: list[str] = []
    several = len({one.file for one in (*found.not_carried, *found.changed)}) > 1
    for title, remarks in (("not carried over", found.not_carried), ("otherwise now", found.changed)):
        lines += [f"{title}: {len(remarks)}"] if remarks else []
        lines += [line for one in remarks for line in _lines(one, with_file=several)]
    lines += ["first:", *(f"  {line}" for line in found.first)] if found.first else []
    if written is not None:
        lines.append(
            f"{written} written; `headland rollout plan --file {written}` shows what it would change"
        )
    for line in lines:
        place.print(line, markup=False, soft_wrap=True)


def _lines(remark: "Remark", *, with_file: bool) -> list[str]:
    """Return path, what it is and why, and what to do: paths are too long for the column of a table."""
    path = f"{remark.file}: {remark.path}" if with_file else remark.path
    return [f"  {path}", f"    {remark.what}: {remark.why}", f"    do: {remark.fix}"]
