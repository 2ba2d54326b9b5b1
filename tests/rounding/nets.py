"""A small network that onnxruntime runs, before and after a fine-tuning, and rows for it."""

from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.deltas.layers import Array, tuned

INPUTS, HIDDEN, CLASSES = 16, 300, 10


def weights() -> dict[str, Array]:
    """Return the weights of two layers."""
    random = np.random.default_rng(4)
    shapes = {"first": (INPUTS, HIDDEN), "bias": (HIDDEN,), "second": (HIDDEN, CLASSES), "last": (CLASSES,)}
    return {name: random.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}


def net(
    made: dict[str, Array],
    *,
    rows: int | str = "n",
    renamed: str = "",
    extra: tuple[Any, ...] = (),
    outputs: int = 2,
) -> bytes:
    """Return the network: scores and the class; ``renamed`` stands before the names of its weights."""
    nodes = [
        helper.make_node("Gemm", ["x", f"{renamed}first", f"{renamed}bias"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Gemm", ["b", f"{renamed}second", f"{renamed}last"], ["scores"]),
        helper.make_node("ArgMax", ["scores"], ["class"], axis=1, keepdims=0),
        *extra,
    ]
    tensors = [numpy_helper.from_array(each, f"{renamed}{name}") for name, each in made.items()]
    told = [
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, [rows, CLASSES]),
        helper.make_tensor_value_info("class", TensorProto.INT64, [rows]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, made["first"].shape[0]])
    graph = helper.make_graph(nodes, "g", [x], told[:outputs], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())  # type: ignore[no-untyped-call]


def write(folder: Path) -> tuple[Path, Path, Path]:
    """Write the old model, the new one, and rows; return their paths."""
    paths = folder / "old.onnx", folder / "new.onnx", folder / "rows.npz"
    before = weights()
    paths[0].write_bytes(net(before))
    paths[1].write_bytes(net(tuned(before)))
    np.savez(paths[2], x=samples())
    return paths


def samples(rows: int = 50) -> Array:
    """Return rows for the network."""
    return np.random.default_rng(6).normal(0, 1, (rows, INPUTS)).astype(np.float32)
