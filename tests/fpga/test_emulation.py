"""The emulation against fixed-point arithmetic worked out independently, and against the float model."""

import gzip
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from cloud_hub.images.build.errors import OptionRefusedError
from cloud_hub.images.build.ports import BuildInputs
from cloud_hub.images.fpga.agreement import Agreement, as_json, as_table
from cloud_hub.images.fpga.emulation import FpgaParts, Inputs, with_fpga
from contract.digests import sha256
from modules.fpga.score import Emulation
from tests.fpga.conftest import made_in
from tests.fpga.models import EVIL, HIDDEN, INPUTS, weights

FRACTION = 10  # of ap_fixed<16,6>


def quantised(values: NDArray[Any]) -> NDArray[np.int64]:
    """``ap_fixed<16,6>`` as integers: towards minus infinity (TRN), and around (WRAP)."""
    return wrapped(np.floor(values.astype(np.float64) * 2**FRACTION).astype(np.int64))


def wrapped(values: NDArray[np.int64]) -> NDArray[np.int64]:
    return (values + 2**15) % 2**16 - 2**15


def hidden_layer(x: NDArray[Any]) -> NDArray[np.float64]:
    """The first layer in integers: exact sums, then cut to the type of the result."""
    w, b = (quantised(weights()[name].astype(np.float32)) for name in ("w1", "b1"))
    sums = quantised(x) @ w.T + (b << FRACTION)
    cut = np.where(sums > 0, wrapped(sums >> FRACTION), 0)
    return cut / 2.0**FRACTION


@pytest.mark.parametrize("reach", [1.0, 30.0, 200.0])
def test_a_layer_has_exactly_the_bits_of_fixed_point_arithmetic(model_dir: Path, reach: float) -> None:
    x = np.random.default_rng(3).uniform(-reach, reach, (400, INPUTS))
    fixed = Emulation(model_dir / "fpga").run({EVIL: x})["hidden"]
    assert fixed.shape == (400, HIDDEN)
    assert np.array_equal(fixed, hidden_layer(x))
    floats = np.maximum(x @ weights()["w1"].T + weights()["b1"], 0)
    # The control: float arithmetic is not what came out, and beyond the type's range it is far from it.
    assert not np.array_equal(fixed, floats)
    assert (np.abs(fixed - floats).max() > 1) == (reach > 1)


def test_the_report_is_what_the_two_models_say(
    parts: FpgaParts, model_dir: Path, perceptron_file: Path, tmp_path: Path
) -> None:
    x = np.random.default_rng(5).uniform(-1, 1, (64, INPUTS)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x)
    session = onnxruntime.InferenceSession(perceptron_file, providers=["CPUExecutionProvider"])
    exact = dict(zip(["y", "hidden"], session.run(["y", "hidden"], {EVIL: x}), strict=True))
    fixed = Emulation(model_dir / "fpga").run({EVIL: x})
    again = measured(parts, perceptron_file, Inputs(tmp_path / "data.npz"), tmp_path)
    assert again.rows == 64
    assert again.data == f"the data set {sha256((tmp_path / 'data.npz').read_bytes())}"
    for one in again.outputs:
        apart = np.abs(exact[one.name] - fixed[one.name])
        assert one.max_abs_difference == pytest.approx(apart.max(), rel=1e-3)
        assert one.mean_abs_difference == pytest.approx(apart.mean(), rel=1e-3)
        assert one.top1_agreed == (exact[one.name].argmax(1) == fixed[one.name].argmax(1)).sum()
        assert 0 < one.max_abs_difference < 0.1


def measured(parts: FpgaParts, model: Path, inputs: Inputs, folder: Path) -> Agreement:
    """Measure an emulation that is there already."""
    from cloud_hub.images.fpga.emulation import Making

    (folder / "again").mkdir()
    making = Making(folder / "again", lambda: False)
    for one in parts.files:
        target = folder / "again" / one.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(one.file.read_bytes())
    return making.measure(model, inputs)


def test_without_data_the_report_says_what_was_drawn(
    parts: FpgaParts, perceptron_file: Path, tmp_path: Path
) -> None:
    assert "random inputs, uniform from -1 to 1" in parts.agreement.data
    wide = measured(parts, perceptron_file, Inputs(ranges=[(-90.0, 90.0)] * INPUTS), tmp_path)
    assert "within the ranges of the model's baseline" in wide.data
    # Beyond the type's range values wrap around, and the report must show it.
    assert wide.outputs[0].max_abs_difference > 5 * parts.agreement.outputs[0].max_abs_difference
    (tmp_path / "short").mkdir()
    short = measured(parts, perceptron_file, Inputs(ranges=[(-90.0, 90.0)]), tmp_path / "short")
    assert short.outputs == parts.agreement.outputs


def test_the_report_is_json_and_a_table(parts: FpgaParts) -> None:
    document = json.loads(as_json(parts.agreement))
    assert document["format"] == "headland.fpga-agreement/1"
    assert "no FPGA board was tried" in document["board"]
    assert [one["name"] for one in document["outputs"]] == ["hidden", "y"]
    table = as_table(parts.agreement)
    assert "no FPGA board was tried" in table
    assert any(line.startswith("y ") and "/1000" in line for line in table.splitlines())


def test_the_same_inputs_give_the_same_bytes(
    parts: FpgaParts, perceptron_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    monkeypatch.setenv("LC_ALL", "C")
    again = made_in(tmp_path / "a-much-longer-name" / "of-a-folder", perceptron_file)
    assert [(one.path, one.digest) for one in again.files] == [(one.path, one.digest) for one in parts.files]


def test_no_name_of_the_model_is_in_the_code(parts: FpgaParts) -> None:
    (packed,) = [one.file for one in parts.files if one.path.endswith("project.tar.gz")]
    with tarfile.open(packed) as tar:
        entries = {entry.name: entry for entry in tar}
        code = [name for name in entries if not name.endswith("headland.json")]
        texts = {name: stream.read() for name in code if (stream := tar.extractfile(name)) is not None}
        assert {(entry.mtime, entry.uid, entry.uname) for entry in entries.values()} == {(0, 0, "")}
    assert b"model_double" in texts["project/model_bridge.cpp"]
    assert not [name for name, text in texts.items() if b"fpga-canary" in text]
    record = json.loads(next(one.file for one in parts.files if one.path == "fpga/headland.json").read_text())
    assert "fpga-canary" in record["inputs"][0]["name"]  # it was there to get in
    assert gzip.decompress(packed.read_bytes())  # and the archive has no time of its own
    assert packed.read_bytes()[4:8] == bytes(4)


def test_the_parts_make_a_model_folder_with_a_digest_of_its_own(
    parts: FpgaParts, perceptron_file: Path
) -> None:
    digest = sha256(perceptron_file.read_bytes())
    inputs = BuildInputs("pump", 1, perceptron_file, digest)
    whole = with_fpga(inputs, parts)
    assert whole.script == parts.script
    assert {"model.onnx", "fpga/emulation.so", "fpga/agreement.json", "fpga/project.tar.gz"} <= {
        one.path for one in whole.model_files
    }
    without = with_fpga(inputs, FpgaParts((), parts.script, parts.agreement))
    assert len({digest, whole.model_digest, without.model_digest}) == 3
    with pytest.raises(OptionRefusedError, match="scoring script"):
        with_fpga(BuildInputs("pump", 1, perceptron_file, digest, script=parts.script), parts)
