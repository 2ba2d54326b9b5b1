"""An image of kind fpga in a container: it answers, and says how far it is from the float model."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from cloud_hub.images.build import BuildInputs, PipWheelSource, build_image
from cloud_hub.images.fpga.emulation import Inputs, make_fpga, with_fpga
from cloud_hub.images.fpga.options import FpgaOptions
from cloud_hub.sdk import HubRefusedError
from contract.digests import sha256
from modules.fpga.score import Emulation
from tests.fpga.models import EVIL, INPUTS, perceptron
from tests.images.conftest import Built, unpacked
from tests.images.containers import ask, container, let_pass, until_ready
from tests.images.shop import Shop


@pytest.mark.system
def test_the_emulation_answers_in_a_container(built: Built, tmp_path: Path) -> None:
    if shutil.which("runc") is None or shutil.which("g++") is None or os.geteuid() != 0:
        pytest.skip("needs root, runc and g++: apt install runc g++")
    model = tmp_path / "perceptron.onnx"
    onnx.save_model(perceptron(), model)
    work_dir = tmp_path / "work"
    work_dir.mkdir()
    said: list[str] = []
    parts = make_fpga(
        model,
        FpgaOptions(),
        inputs=Inputs(),
        work_dir=work_dir,
        progress=lambda fraction, message: said.append(message),
        cancelled=lambda: False,
    )
    assert any("no FPGA board was tried" in line for line in said)
    image = build_image(
        with_fpga(BuildInputs("digits", 1, model, sha256(model.read_bytes())), parts),
        layers=built.copied_store(tmp_path / "store"),
        wheels=PipWheelSource(built.wheels),
        work_dir=work_dir,
        progress=lambda fraction, message: None,
        cancelled=lambda: False,
    )
    assert image.new_layers == 2  # the model with the emulation, and the script
    made = Built(tmp_path / "store", model, built.wheels, image, ())
    (tmp_path / "rootfs").mkdir()
    rootfs = unpacked(made, tmp_path / "rootfs")
    let_pass(rootfs)
    row = np.random.default_rng(4).uniform(-1, 1, (1, INPUTS))
    with container(made, rootfs, tmp_path, f"headland-fpga-{os.getpid()}") as (shared, running):
        until_ready(shared / "score.sock", running, tmp_path / "log")
        status, answer = ask(shared / "score.sock", "POST", "/score", json.dumps({"data": row.tolist()}))
    assert status == 200, answer
    scored = json.loads(answer)
    here = Emulation(rootfs / "var/headland/model/fpga").run({EVIL: row})
    assert scored["outputs"]["y"] == here["y"].tolist()
    assert 0 < scored["agreement"]["outputs"]["y"]["max_abs_difference"] < 0.1
    assert "1 rows, largest difference" in (tmp_path / "log").read_text()


def test_a_hub_builds_it_and_keeps_the_report(shop: Shop, tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("needs g++: apt install g++")
    onnx.save_model(perceptron(), tmp_path / "perceptron.onnx")
    np.savez(tmp_path / "data.npz", np.random.default_rng(1).uniform(-1, 1, (50, INPUTS)))
    shop.workspace.register_model("perceptron", tmp_path / "perceptron.onnx")
    build = shop.workspace.start_build
    with pytest.raises(HubRefusedError, match="fixed-point"):
        build("fpga", "perceptron:1", kind="fpga", fpga_precision="float")
    with pytest.raises(HubRefusedError, match="this machine"):
        build("fpga", "perceptron:1", kind="fpga", base="debian", platforms=["linux/amd64", "linux/arm64"])
    made = shop.workspace.build_image(
        "fpga", "perceptron:1", kind="fpga", compression="zstd", fpga_data=tmp_path / "data.npz"
    )
    assert made.kind == "fpga"
    log = shop.workspace.image_document("fpga:1", "log").decode()
    assert "on 50 rows: the data set sha256:" in log
    assert "no FPGA board was tried" in log
