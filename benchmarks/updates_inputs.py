"""What `benchmarks.updates` compares: layers before and after an update, made once below ``build/updates``.

Models: the ResNet-18 of `updates_training.py` as ONNX, in float32, float16 and with int8 kernels, and two
rounded updates of it. Files: two
releases of onnxruntime's wheel, as the layer that a build makes of them.
"""

import io
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper

from benchmarks.peers import ROOT
from cloud_hub.rounding.updating import RoundingReport, round_update

FOLDER: Final = ROOT / "build" / "updates"
LOCK: Final = ROOT / "benchmarks" / "updates_peers.txt"
PEERS: Final = FOLDER / "peers" / "bin" / "python"
TRAINING: Final = ROOT / "benchmarks" / "updates_training.py"
WHEELS: Final = ("1.31.1", "1.32.0")

Weights = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Case:
    """An update: what it is, and the files of the layer's tar before and after.

    ``rounding``: what was told when it was rounded, where the new layer holds a rounded model.
    """

    name: str
    old: Path
    new: Path
    is_model: bool
    rounding: RoundingReport | None = None


def prepare() -> None:
    """Make what is missing: the environment with jax and the peers, the trained weights, the wheels."""
    uv = str(Path(sys.executable).parent / "uv")
    if not PEERS.exists():
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(PEERS.parents[1])], check=True)
        install = [uv, "pip", "install", "-q", "--python", str(PEERS), "--require-hashes", "-r", str(LOCK)]
        subprocess.run(install, check=True)
    subprocess.run([str(PEERS), str(TRAINING), str(FOLDER / "weights")], check=True)
    for version in WHEELS:
        if not list((FOLDER / "wheels").glob(f"onnxruntime-{version}-*.whl")):
            # fmt: off
            subprocess.run(
                [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:",
                 "--python-version", "3.11", "--platform", "manylinux_2_28_x86_64",
                 "-d", str(FOLDER / "wheels"), f"onnxruntime=={version}"], check=True)
            # fmt: on


def cases() -> list[Case]:
    """Return the updates, their layers on disk."""
    layers = FOLDER / "layers"
    layers.mkdir(parents=True, exist_ok=True)
    kinds: dict[str, Callable[[Weights], Weights]] = {"fp32": dict, "fp16": _halves, "int8": _bytes}
    updates = [
        ("last layer", "last-layer", "fp32"), ("last block", "last-block", "fp32"),
        ("Adam 1e-5", "adam", "fp32"), ("Adam 1e-5, fp16", "adam", "fp16"),
        ("Adam 1e-5, int8", "adam", "int8"), ("SGD 1e-3", "sgd", "fp32"),
    ]  # fmt: skip
    found = []
    for name, tuned, kind in updates:
        old, new = (_layer(layers / f"{each}-{kind}.tar", each, kinds[kind]) for each in ("base", tuned))
        found.append(Case(name, old, new, is_model=True))
    found += [_rounded(layers, name, tuned) for name, tuned in (("Adam 1e-5", "adam"), ("SGD 1e-3", "sgd"))]
    before, after = (_wheel(layers / f"onnxruntime-{version}.tar", version) for version in WHEELS)
    return [*found, Case(f"onnxruntime {WHEELS[0]} to {WHEELS[1]}", before, after, is_model=False)]


def resnet(weights: Weights) -> ModelProto:
    """Return the network; kernels in int8 have their scales as ``NAME.step``."""
    nodes: list[NodeProto] = []
    kind = TensorProto.FLOAT16 if weights["fc.bias"].dtype == np.float16 else TensorProto.FLOAT

    def add(operator: str, inputs: list[str], **attributes: Any) -> str:
        output = f"value{len(nodes)}"
        nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def tensor(name: str) -> str:
        if f"{name}.step" not in weights:
            return name
        return add("DequantizeLinear", [name, f"{name}.step"], axis=0)

    def conv(x: str, name: str, stride: int) -> str:
        pad = (weights[f"{name}.weight"].shape[2] - 1) // 2
        x = add("Conv", [x, tensor(f"{name}.weight")], pads=[pad] * 4, strides=[stride] * 2)
        return add(
            "BatchNormalization", [x, *(f"{name}.norm.{part}" for part in ("scale", "bias", "mean", "var"))]
        )

    x = add("Relu", [conv("images", "stem", 2)])
    x = add("MaxPool", [x], kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2])
    for stage in range(1, 5):
        for block in range(2):
            name = f"layer{stage}.{block}"
            stride = 2 if block == 0 and stage > 1 else 1
            straight = conv(x, f"{name}.shortcut", stride) if f"{name}.shortcut.weight" in weights else x
            y = add("Relu", [conv(x, f"{name}.conv1", stride)])
            x = add("Relu", [add("Add", [conv(y, f"{name}.conv2", 1), straight])])
    x = add("Flatten", [add("GlobalAveragePool", [x])])
    x = add("Gemm", [x, tensor("fc.weight"), "fc.bias"], transB=1)
    graph = helper.make_graph(
        nodes,
        "resnet18",
        [helper.make_tensor_value_info("images", kind, ["n", 3, 64, 64])],
        [helper.make_tensor_value_info(x, kind, ["n", 10])],
        [numpy_helper.from_array(each, name) for name, each in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    checker.check_model(model)
    return model


def _rounded(layers: Path, name: str, tuned: str) -> Case:
    """Return the update to the rounded model; it was tried on all images of the worse camera."""
    models = FOLDER / "models"
    models.mkdir(exist_ok=True)
    old, new, target = (models / f"{each}.onnx" for each in ("base", tuned, f"{tuned}-rounded"))
    told = target.with_suffix(".json")
    if not told.exists():
        for each in (old, new):
            weights = dict(np.load(FOLDER / "weights" / f"{each.stem}.npz"))
            each.write_bytes(resnet(weights).SerializeToString())  # type: ignore[no-untyped-call]
        report = round_update(old, new, FOLDER / "weights" / "data.npz", target)
        _write_tar(layers / f"{tuned}-rounded.tar", {"opt/model/model.onnx": target.read_bytes()})
        told.write_bytes(msgspec.json.encode(report))
    return Case(
        f"{name}, rounded",
        layers / "base-fp32.tar",
        layers / f"{tuned}-rounded.tar",
        is_model=True,
        rounding=msgspec.json.decode(told.read_bytes(), type=RoundingReport),
    )


def _halves(weights: Weights) -> Weights:
    return {name: each.astype(np.float16) for name, each in weights.items()}


def _bytes(weights: Weights) -> Weights:
    """Quantise kernels: symmetric, a scale for each output channel."""
    found: Weights = {}
    for name, each in weights.items():
        if each.ndim < 2:
            found[name] = each
            continue
        flat = each.reshape(len(each), -1)
        step = (np.abs(flat).max(axis=1) / 127).astype(np.float32)
        quantised = np.clip(np.round(flat / step[:, None]), -127, 127).astype(np.int8)
        found[name], found[f"{name}.step"] = quantised.reshape(each.shape), step
    return found


def _layer(target: Path, name: str, turn: Callable[[Weights], Weights]) -> Path:
    if not target.exists():
        weights = dict(np.load(FOLDER / "weights" / f"{name}.npz"))
        data: bytes = resnet(turn(weights)).SerializeToString()  # type: ignore[no-untyped-call]
        _write_tar(target, {"opt/model/model.onnx": data})
    return target


def _wheel(target: Path, version: str) -> Path:
    if not target.exists():
        (wheel,) = (FOLDER / "wheels").glob(f"onnxruntime-{version}-*.whl")
        with zipfile.ZipFile(wheel) as opened:
            _write_tar(target, {name: opened.read(name) for name in sorted(opened.namelist())})
    return target


def _write_tar(target: Path, files: dict[str, bytes]) -> None:
    beside = target.with_suffix(".part")
    with tarfile.open(beside, "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    beside.rename(target)
