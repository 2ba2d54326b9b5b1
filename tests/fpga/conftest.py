"""One emulation for all tests: g++ takes seconds."""

import shutil
from pathlib import Path

import onnx
import pytest

from cloud_hub.images.fpga.emulation import FpgaParts, Inputs, make_fpga
from cloud_hub.images.fpga.options import FpgaOptions
from tests.fpga.models import perceptron


def made_in(
    folder: Path, model: Path, inputs: Inputs | None = None, options: FpgaOptions | None = None
) -> FpgaParts:
    folder.mkdir(parents=True, exist_ok=True)
    return make_fpga(
        model,
        options or FpgaOptions(),
        inputs=inputs or Inputs(),
        work_dir=folder,
        progress=lambda fraction, message: None,
        cancelled=lambda: False,
    )


@pytest.fixture(scope="session")
def perceptron_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("perceptron") / "perceptron.onnx"
    onnx.save_model(perceptron(), file)
    return file


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory, perceptron_file: Path) -> FpgaParts:
    if shutil.which("g++") is None:
        pytest.skip("needs g++: apt install g++")
    return made_in(tmp_path_factory.mktemp("fpga"), perceptron_file)


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory, parts: FpgaParts, perceptron_file: Path) -> Path:
    """The model's folder as an image has it."""
    folder = tmp_path_factory.mktemp("model")
    shutil.copy(perceptron_file, folder / "model.onnx")
    for one in parts.files:
        (folder / one.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(one.file, folder / one.path)
    return folder
