"""Rounding an update: what is written, what is told of it against a count of our own, and every refusal."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from cloud_hub.rounding.comparing import compare
from cloud_hub.rounding.errors import (
    NoCommonTensorsError,
    NotFiniteError,
    RoundingError,
    RoundingModelError,
    RoundingUnavailableError,
    SamplesRefusedError,
    ShapesDifferError,
)
from cloud_hub.rounding.onnx_weights import round_file
from cloud_hub.rounding.updating import properties_of, round_update
from tests.deltas.layers import tuned
from tests.rounding.nets import CLASSES, HIDDEN, INPUTS, net, samples, weights, write

ROOT = Path(__file__).parents[2]


def tensors(path: Path) -> dict[str, Any]:
    """Return a model's weights as onnx itself reads them."""
    return {each.name: numpy_helper.to_array(each) for each in onnx.load(path).graph.initializer}


def outputs(path: Path, rows: Any) -> list[Any]:
    """Return what onnxruntime answers."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found: list[Any] = session.run(None, {"x": rows})
    return found


def test_the_report_tells_what_is_so(tmp_path: Path) -> None:
    old, new, rows = write(tmp_path)
    report = round_update(old, new, rows, tmp_path / "rounded.onnx")
    before, wanted, made = (tensors(path) for path in (old, new, tmp_path / "rounded.onnx"))
    for name, each in made.items():
        error, moved = np.abs(each - wanted[name]).max(), np.abs(wanted[name] - before[name]).max()
        if each.nbytes >= 512:
            assert 0 < error <= moved / 200, name
        else:
            assert (each == wanted[name]).all()
    assert report.weights.rounded == INPUTS * HIDDEN + HIDDEN + HIDDEN * CLASSES
    assert (report.weights.exact, report.weights.unchanged) == (0, 0)
    assert report.file_bytes == new.stat().st_size == (tmp_path / "rounded.onnx").stat().st_size
    assert 0.2 * report.file_bytes < report.update_bytes < 0.6 * report.exact_update_bytes
    (scores, class_), (one, other) = report.comparison.outputs, (
        outputs(path, samples()) for path in (new, tmp_path / "rounded.onnx")
    )  # fmt: skip
    assert scores.largest_change == pytest.approx(np.abs(one[0] - other[0]).max(), rel=1e-3)
    assert scores.mean_change == pytest.approx(np.abs(one[0] - other[0]).mean(), rel=1e-3)
    assert (scores.low, scores.high) == pytest.approx((one[0].min(), one[0].max()))
    assert 0 < scores.largest_change < 1e-4
    assert (scores.changed_rows, class_.changed_rows, report.comparison.rows) == (0, 0, 50)
    told = properties_of(report, "net:1")
    assert (told["rounded.from"], told["rounded.bits"], told["rounded.changed_rows"]) == ("net:1", "8", "0")
    assert told["rounded.largest_change"].endswith("(scores)")


def test_other_answers_are_counted_over_all_batches(tmp_path: Path) -> None:
    """The control of the figures: models that are not alike, and rows in several batches."""
    before = weights()
    paths = [tmp_path / "one.onnx", tmp_path / "other.onnx"]
    for path, each in zip(paths, (before, before | {"last": before["last"][::-1].copy()}), strict=True):
        path.write_bytes(net(each))
    np.save(tmp_path / "rows.npy", samples(300))
    found = compare(paths[0], paths[1], tmp_path / "rows.npy")
    one, other = (outputs(path, samples(300)) for path in paths)
    changed = int((one[1] != other[1]).sum())
    assert changed > 10
    assert [each.changed_rows for each in found.outputs] == [changed, changed]
    assert found.outputs[0].largest_change == pytest.approx(np.abs(one[0] - other[0]).max(), rel=1e-5)


def test_what_cannot_be_rounded_stands_as_it_was_given(tmp_path: Path) -> None:
    before = weights()
    after = tuned(before)
    after["first"][3, 3] = np.nan
    after["bias"] = before["bias"]
    after["second"] = np.nextafter(before["second"], np.float32(1))
    old, new, made = (tmp_path / name for name in ("old.onnx", "new.onnx", "made.onnx"))
    old.write_bytes(net(before))
    new.write_bytes(net(after))
    counts = round_file(old, new, made)
    assert (counts.rounded, counts.unchanged) == (0, HIDDEN)
    assert counts.exact == INPUTS * HIDDEN + HIDDEN * CLASSES
    assert made.read_bytes() == new.read_bytes()


def test_a_tensor_of_another_shape_or_name_is_exact_and_the_others_are_rounded(tmp_path: Path) -> None:
    before = weights()
    after = tuned(before)
    wider = after | {"first": np.concatenate([after["first"]] * 2)}
    old, new, made = (tmp_path / name for name in ("old.onnx", "new.onnx", "made.onnx"))
    old.write_bytes(net(before))
    new.write_bytes(net(wider))
    counts = round_file(old, new, made)
    assert (counts.rounded, counts.exact) == (HIDDEN + HIDDEN * CLASSES, 2 * INPUTS * HIDDEN)
    assert (tensors(made)["first"] == wider["first"]).all()


@pytest.mark.parametrize(("rows", "given"), [("n", 50), (25, 50), (1, 3)])
def test_models_with_fixed_rows_are_given_so_many(rows: int | str, given: int, tmp_path: Path) -> None:
    old, new, _ = write(tmp_path)
    new.write_bytes(net(tuned(weights()), rows=rows))
    np.savez(tmp_path / "fits.npz", anything=samples(given))
    assert round_update(old, new, tmp_path / "fits.npz", tmp_path / "made.onnx").comparison.rows == given


@pytest.mark.parametrize("head", ["", ",".join(f"f{i}" for i in range(INPUTS)) + "\n"])
def test_rows_as_text(head: str, tmp_path: Path) -> None:
    old, new, rows = write(tmp_path)
    text = head + "\n".join(",".join(f"{number:.9g}" for number in row) for row in samples()) + "\n"
    (tmp_path / "rows.csv").write_text(text)
    told = [
        round_update(old, new, path, tmp_path / "made.onnx").comparison
        for path in (rows, tmp_path / "rows.csv")
    ]
    assert told[0] == told[1]


def npz(**arrays: Any) -> Callable[[Path], None]:
    return lambda path: np.savez(path, **arrays)


BAD_ROWS: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "no file": ("rows.npz", lambda path: None, "plain numbers"),
    "no archive": ("rows.npz", lambda path: path.write_bytes(b"x" * 100), "plain numbers"),
    "objects": ("rows.npz", npz(x=np.array([{}], object)), "plain numbers"),
    "other names": ("rows.npz", npz(a=samples(), b=samples()), "no array for the input x"),
    "columns": ("rows.npz", npz(x=np.zeros((5, 3))), "have shape [16], these [3]"),
    "no rows": ("rows.npz", npz(x=np.zeros((0, INPUTS))), "no rows of numbers"),
    "texts": ("rows.npz", npz(x=np.array([["a"] * INPUTS])), "no rows of numbers"),
    "not finite": ("rows.npz", npz(x=np.full((2, INPUTS), np.nan)), "not finite"),
    "words": ("rows.csv", lambda path: path.write_text("a,b\nc,d\n"), "plain numbers"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_data_set_that_does_not_fit_is_refused(name: str, tmp_path: Path) -> None:
    old, new, _ = write(tmp_path)
    file, make, words = BAD_ROWS[name]
    (tmp_path / "rows.npz").unlink()
    make(tmp_path / file)
    with pytest.raises(SamplesRefusedError) as caught:
        round_update(old, new, tmp_path / file, tmp_path / "made.onnx")
    assert words in caught.value.what
    assert not (tmp_path / "made.onnx").exists()


def test_rows_that_a_fixed_model_cannot_divide_are_refused(tmp_path: Path) -> None:
    old, new, rows = write(tmp_path)
    new.write_bytes(net(tuned(weights()), rows=7))
    with pytest.raises(SamplesRefusedError, match="takes 7 rows at once, which do not divide 50"):
        round_update(old, new, rows, tmp_path / "made.onnx")


BEFORE = weights()
WIDER = {name: np.concatenate([each, each]) for name, each in tuned(BEFORE).items()}
BAD_MODELS: dict[str, tuple[bytes, type[RoundingError]]] = {
    "no model": (b"\xff" * 900, RoundingModelError),
    "other names": (net(tuned(BEFORE), renamed="other."), NoCommonTensorsError),
    "other shapes": (net(WIDER), ShapesDifferError),
    "an output that is no number": (
        net(tuned(BEFORE) | {"last": np.full(CLASSES, np.nan, np.float32)}),
        NotFiniteError,
    ),
    "an operator that is unknown": (
        net(tuned(BEFORE), extra=(onnx.helper.make_node("Unknown", ["x"], ["z"]),)),
        RoundingModelError,
    ),
}


@pytest.mark.parametrize("name", BAD_MODELS)
def test_models_that_cannot_be_rounded_are_refused(name: str, tmp_path: Path) -> None:
    old, new, rows = write(tmp_path)
    data, kind = BAD_MODELS[name]
    new.write_bytes(data)
    with pytest.raises(kind) as caught:
        round_update(old, new, rows, tmp_path / "made.onnx")
    assert type(caught.value) is kind
    assert caught.value.fix
    assert not (tmp_path / "made.onnx").exists()


WITHOUT = """
import sys
from pathlib import Path
sys.modules["onnxruntime"] = None
from cloud_hub.rounding.errors import RoundingError
from cloud_hub.rounding.updating import round_update
try:
    round_update(*map(Path, sys.argv[1:]))
except RoundingError as error:
    print(error.code)
"""


def test_without_onnxruntime_it_is_said_what_is_missing(tmp_path: Path) -> None:
    paths = [*map(str, write(tmp_path)), str(tmp_path / "made.onnx")]
    command = [sys.executable, "-c", WITHOUT, *paths]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == RoundingUnavailableError.code == "rounding-unavailable"
