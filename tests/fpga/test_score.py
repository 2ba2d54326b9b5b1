"""The scoring script over a model's folder, in the scoring server's own loader."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloud_hub.images.fpga.emulation import scoring_script
from modules.fpga.score import Emulation, difference
from modules.serving.errors import ModelFailedError, ScriptUnusableError
from modules.serving.script import load_script
from tests.fpga.models import CLASSES, EVIL, INPUTS


def answers(model_dir: Path, monkeypatch: pytest.MonkeyPatch, part: str, count: int) -> list[dict[str, Any]]:
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(model_dir))
    monkeypatch.setenv("FPGA_COMPARE", part)
    script = load_script(scoring_script())
    rows = np.random.default_rng(2).uniform(-1, 1, (count, INPUTS))
    return [json.loads(script.score(json.dumps({"data": [row.tolist()]}).encode())) for row in rows]


def test_it_answers_with_the_emulation_and_reports_the_agreement(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (answer,) = answers(model_dir, monkeypatch, "", 1)
    row = np.random.default_rng(2).uniform(-1, 1, (1, INPUTS))
    assert answer["outputs"]["y"] == Emulation(model_dir / "fpga").run({EVIL: row})["y"].tolist()
    assert answer["arithmetic"] == "ap_fixed<16,6>"
    assert answer["agreement"]["rows"] == 1
    assert 0 < answer["agreement"]["outputs"]["y"]["max_abs_difference"] < 0.1
    assert answer["agreement"]["outputs"]["y"]["top1_agreed"] == 1
    said = capsys.readouterr().err
    assert "on 1000 rows (random inputs" in said
    assert "1 rows, largest difference" in said


@pytest.mark.parametrize(("part", "compared"), [("0", 0), ("0.25", 2), ("1", 8)])
def test_a_part_of_the_requests_is_compared(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch, part: str, compared: int
) -> None:
    assert sum("agreement" in one for one in answers(model_dir, monkeypatch, part, 8)) == compared


@pytest.mark.parametrize("part", ["2", "-1", "often", "nan"])
def test_a_part_that_is_none_is_refused(model_dir: Path, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    with pytest.raises(ScriptUnusableError):
        answers(model_dir, monkeypatch, part, 1)


@pytest.mark.parametrize(
    "body",
    [
        {"data": [[1.0]]},
        {"data": []},
        {},
        {"inputs": [{"name": "y", "data": [1]}]},
        {"data": [["a"] * INPUTS]},
    ],
)
def test_a_request_that_does_not_fit_fails_alone(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch, body: dict[str, Any]
) -> None:
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(model_dir))
    script = load_script(scoring_script())
    with pytest.raises(ModelFailedError):
        script.score(json.dumps(body).encode())
    named = {"inputs": [{"name": EVIL, "data": [0.0] * INPUTS}]}
    assert np.shape(json.loads(script.score(json.dumps(named).encode()))["outputs"]["y"]) == (1, CLASSES)


def test_weights_that_are_missing_are_told_and_do_not_end_the_process(
    model_dir: Path, tmp_path: Path
) -> None:
    for one in ("headland.json", "emulation.so"):
        (tmp_path / one).write_bytes((model_dir / "fpga" / one).read_bytes())
    with pytest.raises(FileNotFoundError, match="weights/"):
        Emulation(tmp_path)


def test_a_difference_is_counted_by_row() -> None:
    found = difference(np.array([[1.0, 2.0], [3.0, 1.0]]), np.array([[1.0, 2.5], [3.0, 4.0]]))
    assert found == {"max_abs_difference": 3.0, "mean_abs_difference": 0.875, "top1_agreed": 1}
    assert difference(np.ones((2, 1)), np.ones((2, 1)))["top1_agreed"] is None
