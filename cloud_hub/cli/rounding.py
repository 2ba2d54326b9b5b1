"""`headland model quantise-update`: an update rounded to 8 bits, registered if it is accepted."""

import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from cloud_hub.cli.output import Format, Output, as_json, show, show_table, size
from cloud_hub.cli.pairs import Pairs, pairs
from cloud_hub.cli.session import WorkspaceOption
from cloud_hub.cli.session import workspace as connect
from cloud_hub.rounding.errors import RoundingModelError, RoundingUnavailableError
from cloud_hub.sdk import Model, SdkError, Workspace

if TYPE_CHECKING:
    from cloud_hub.rounding.updating import RoundingReport


def quantise_update(
    old: Annotated[str, typer.Argument(metavar="MODEL", help="The version that devices have: name:version.")],
    new: Annotated[Path, typer.Argument(help="The new model, one .onnx file.")],
    data: Annotated[
        Path, typer.Option(help="Rows to try both on: .npz with an array for each input, .npy or .csv.")
    ],
    out: Annotated[Path | None, typer.Option(help="Keep the rounded model here.")] = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="Register it whatever the report says, without asking.")
    ] = False,
    run: Annotated[str | None, typer.Option(help="The run that made the new model.")] = None,
    tag: Annotated[Pairs, typer.Option(help="key=value; may be repeated.")] = None,
    description: Annotated[str, typer.Option(help="What it is.")] = "",
    workspace: WorkspaceOption = "",
    output: Output = Format.TEXT,
) -> None:
    """Round an update to 8-bit steps from a version, show what that changes, register it if accepted."""
    with connect(workspace) as ws, TemporaryDirectory(prefix="headland-rounding-") as folder:
        model, before = _fetched(ws, old, Path(folder) / "old")
        name = f"{model.name}:{model.version}"
        # Under the old file's name: a delta of a layer compares files of one path.
        rounded = Path(folder) / "rounded" / before.name
        rounded.parent.mkdir()
        report, properties = _rounded(before, new, data, rounded, name)
        if not as_json():
            _print(report, name)
        if out is not None:
            _keep(rounded, out)
        registered = None
        if accept or _agreed(model):
            registered = ws.register_model(
                model.name, rounded, run=run, tags=pairs(tag), properties=properties, description=description
            )
    answer = {
        "report": msgspec.to_builtins(report),
        "out": str(out) if out else None,
        "registered": msgspec.to_builtins(registered),
    }
    if registered is None:
        show(answer, "nothing was registered; --accept registers the rounded model")
    else:
        show(answer, f"{registered.name}:{registered.version} registered, rounded from {name}")


def _fetched(ws: Workspace, old: str, folder: Path) -> tuple[Model, Path]:
    model = ws.model(old)
    if model.framework != "onnx" or model.folder:
        raise RoundingModelError(
            "only a model of one ONNX file can be what an update is rounded from",
            where=old,
            fix="Register the new model as it is.",
        )
    return model, ws.download_model(f"{model.name}:{model.version}", folder)


def _rounded(
    old: Path, new: Path, data: Path, target: Path, name: str
) -> tuple["RoundingReport", dict[str, str]]:
    try:
        # Not with the commands: it needs what the extra `cli` alone does not install.
        from cloud_hub.rounding.updating import properties_of, round_update  # noqa: PLC0415
    except ImportError as error:
        raise RoundingUnavailableError(
            f"{error.name} is not installed on this machine",
            where="quantise-update",
            fix="pip install 'headland[hub]' onnxruntime",
        ) from error
    report = round_update(old, new, data, target)
    return report, properties_of(report, name)


def _keep(rounded: Path, out: Path) -> None:
    try:
        out.write_bytes(rounded.read_bytes())
    except OSError as error:
        raise SdkError(f"the file cannot be written ({error.strerror})", where=str(out)) from error


def _agreed(model: Model) -> bool:
    """Ask a person, if one is there."""
    if as_json() or not sys.stdin.isatty():
        return False
    return typer.confirm(f"Register the rounded model as the next version of {model.name}?", err=True)


def _print(report: "RoundingReport", old: str) -> None:
    comparison = report.comparison
    rows = [
        (
            each.name,
            f"{each.largest_change:.3g}",
            f"{each.mean_change:.3g}",
            f"{each.low:.3g} to {each.high:.3g}",
            "-" if each.changed_rows is None else f"{each.changed_rows} of {comparison.rows}",
        )
        for each in comparison.outputs
    ]
    for line in _facts(report, old):
        typer.echo(line)
    columns = ["output", "largest change", "mean change", "range", "other answers"]
    show_table(comparison.outputs, columns, rows)


def _facts(report: "RoundingReport", old: str) -> Iterator[str]:
    weights = report.weights
    yield (
        f"from {old}: {weights.rounded} weights rounded to {report.bits} bits, {weights.exact} exact, "
        f"{weights.unchanged} unchanged"
    )
    for word, bytes_ in (("rounded", report.update_bytes), ("exact", report.exact_update_bytes)):
        share = 100 * bytes_ / report.file_bytes
        yield f"  update, {word}: {size(bytes_)}, {share:.1f} % of the new file"
    yield f"  outputs on {report.comparison.rows} rows of data, rounded beside exact:"
    for name in report.comparison.not_compared:
        yield f"  output {name} is no tensor of numbers, and was not compared"
