"""`headland model`: the model registry."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.progress import DownloadColumn, TransferSpeedColumn

from cloud_hub.cli.output import Format, Output, bar_of, cell, show, show_table, size
from cloud_hub.cli.pairs import Pairs, joined, pairs, tag_changes
from cloud_hub.cli.session import WorkspaceOption, group
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
from cloud_hub.sdk import Lineage, Model, SdkError
from cloud_hub.sdk.transfer import Moved
from contract.baseline import Baseline, read_baseline

app = group("Models: name and version, with the run they came from.")

Model_ = Annotated[str, typer.Argument(metavar="MODEL", help="name:version, or name for the newest.")]


@app.command(epilog="Example: headland model register digits model.onnx --run 3f0c... --tag stage=test")
def register(
    name: str,
    path: Annotated[Path, typer.Argument(help="An ONNX file, or a folder with one; else say --framework.")],
    run: Annotated[str | None, typer.Option(help="The run that made it.")] = None,
    tag: NewTags = None,
    property_: Annotated[
        Pairs, typer.Option("--property", help="key=value, never changed later; may be repeated.")
    ] = None,
    description: NewDescription = "",
    framework: Annotated[
        str | None, typer.Option(help="Such as sklearn: the files are kept as they are.")
    ] = None,
    allow_pickle: Annotated[
        bool, typer.Option(help="Keep pickles, which run code when they are loaded.")
    ] = False,
    baseline: Annotated[
        Path | None, typer.Option(help="JSON of the training data's statistics, from the SDK.")
    ] = None,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Register a file or folder as the next version of a model; what was cut off goes on."""
    with connect(workspace) as ws, _moving("uploading") as moved:
        model = ws.register_model(
            name,
            path,
            run=run,
            tags=pairs(tag),
            properties=pairs(property_),
            description=description,
            framework=framework,
            allow_pickle=allow_pickle,
            baseline=_read_baseline(baseline) if baseline else None,
            moved=moved,
        )
    show(model, f"{model.name}:{model.version} registered, {size(model.size_bytes)}, {model.digest}")


@app.command("list", epilog="Example: headland model list 'digits*' --tag stage=prod --latest")
def list_(
    name: NamePattern = None,
    tag: TagFilter = None,
    property_: Annotated[
        Pairs, typer.Option("--property", help="key=value, or key; may be repeated.")
    ] = None,
    framework: Annotated[str | None, typer.Option(help="Only of this framework.")] = None,
    run: Annotated[str | None, typer.Option(help="Only of this run.")] = None,
    experiment: Annotated[str | None, typer.Option(help="Only of this experiment's runs.")] = None,
    digest: Annotated[str | None, typer.Option(help="Only with this file, or this digest.")] = None,
    by: Annotated[str | None, typer.Option(help="Only registered by this person.")] = None,
    after: After = None,
    before: Before = None,
    latest: Latest = False,
    order: Order = "name",
    limit: Limit = None,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Find models: all versions, or those for which everything holds that is said."""
    with connect(workspace) as ws:
        models = ws.models(
            name,
            tags=tag or (),
            properties=property_ or (),
            framework=framework,
            run=run,
            experiment=experiment,
            digest=digest,
            created_by=by,
            created_after=utc(after),
            created_before=utc(before),
            latest=latest,
            order=order,
            limit=limit,
        )
    rows = [
        (
            f"{m.name}:{m.version}",
            m.framework,
            size(m.size_bytes),
            joined(m.tags),
            m.run,
            m.created_by,
            m.created_at,
        )
        for m in models
    ]
    show_table(models, ["model", "framework", "size", "tags", "run", "by", "created"], rows)


@app.command("show", epilog="Example: headland model show digits:1")
def show_(model: Model_, workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Show a model: signature, files, tags, where it came from and where it is used."""
    with connect(workspace) as ws:
        info = ws.model(model)
        lineage = ws.model_lineage(f"{info.name}:{info.version}")
    show({**msgspec.to_builtins(info), "lineage": lineage}, "\n".join([*_facts(info), *_lineage(lineage)]))


@app.command(epilog="Example: headland model diff digits:1 digits:2")
def diff(
    first: Annotated[str, typer.Argument(help="name:version, or name for the newest.")],
    second: Annotated[str, typer.Argument(help="Another version, or another model.")],
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Show what differs between two models: signature, files, tags, and the runs they came from."""
    with connect(workspace) as ws:
        found = ws.model_differences(first, second)
    rows = [(one.fact, _short(one.first), _short(one.second)) for one in found]
    show_table(found, ["", first, second], rows)


@app.command(epilog="Example: headland model tag digits:1 stage=prod --remove candidate")
def tag(
    model: Model_,
    tags: Tags = None,
    remove: RemovedTags = None,
    description: ChangedDescription = None,
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Set and take away tags of a version, and change its description."""
    with connect(workspace) as ws:
        info = ws.change_model(model, description=description, tags=tag_changes(tags, remove))
    show(info, f"{info.name}:{info.version}  {joined(info.tags) or 'no tags'}")


@app.command(epilog="Example: headland model delete digits:1")
def delete(model: Model_, workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Delete a version that no image holds; its number is not given again."""
    with connect(workspace) as ws:
        ws.delete_model(model)
    show({"deleted": model}, f"{model} deleted")


@app.command(epilog="Example: headland model download digits:1 --to models")
def download(
    model: Model_,
    to: Annotated[Path, typer.Option(help="The folder to put it in.")] = Path(),
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Fetch a version's files and check their digests; what was cut off goes on."""
    with connect(workspace) as ws, _moving("downloading") as moved:
        path = ws.download_model(model, to, moved=moved)
    show({"path": str(path)}, str(path))


@app.command(epilog="Example: headland model baseline digits:1")
def baseline(model: Model_, workspace: WorkspaceOption = "", output: Output = Format.TEXT) -> None:
    """Show the statistics of the data that a version was trained on."""
    with connect(workspace) as ws:
        found = ws.model_baseline(model)
    rows = [(f.name, f.count, f.missing, f.mean, f.std, f.min, f.max) for f in found.features]
    if output is Format.JSON:
        show(found, "")
    else:
        show_table(found.features, ["feature", "count", "missing", "mean", "std", "min", "max"], rows)


@contextmanager
def _moving(words: str) -> Iterator[Moved]:
    with bar_of(DownloadColumn(), TransferSpeedColumn()) as bar:
        task = bar.add_task(words, total=None)

        def moved(done_bytes: int, size_bytes: int) -> None:
            bar.update(task, completed=done_bytes, total=size_bytes)

        yield moved


def _read_baseline(path: Path) -> Baseline:
    try:
        return read_baseline(path.read_bytes())
    except OSError as error:
        raise SdkError(f"the file cannot be read ({error.strerror})", where=str(path)) from error


def _short(value: str | None) -> str | None:
    """Return a digest as far as people compare it; anything else as it is."""
    return value[:19] if value is not None and value.startswith("sha256:") else value


def _facts(info: Model) -> Iterator[str]:
    yield f"{info.name}:{info.version}  {info.framework}, {size(info.size_bytes)}, {info.digest}"
    if info.description:
        yield f"  {info.description}"
    if info.pickled:
        yield "  pickled: it runs code when it is loaded"
    for side in ("inputs", "outputs"):
        for value in info.signature.get(side, ()):
            yield f"  {side[:-1]} {value['name']}: {value['type']} {value.get('shape', '')}"
    for file in info.files:
        yield f"  file {file.path}: {size(file.size_bytes)}, {file.digest}"
    for word, labels in (("tag", info.tags), ("property", info.properties)):
        for key, value in labels.items():
            yield f"  {word} {key} = {value}"
    yield f"  registered by {info.created_by}, {cell(info.created_at)}"


def _lineage(lineage: Lineage) -> Iterator[str]:
    run = lineage.run
    if run is None:
        yield "  run -"
    else:
        yield f"  run {run.id} of {run.experiment}: {run.status}"
        for key, value in {**run.parameters, **run.metrics, **run.source}.items():
            yield f"    {key} = {value:g}" if isinstance(value, float) else f"    {key} = {value}"
    for image in lineage.images:
        yield f"  image {image}"
    for use in lineage.devices:
        state = (use.state or "not reported") if use.desired else f"{use.state}, to be replaced"
        yield f"  device {use.device}, module {use.module}, image {use.image}: {state}"
