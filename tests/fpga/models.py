"""Small ONNX models to convert."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

INPUTS, HIDDEN, CLASSES = 16, 24, 5
EVIL = 'x"); system("touch /tmp/headland-fpga-canary"); //'
"""A name that would be code, were it written into the project."""


def weights() -> dict[str, NDArray[Any]]:
    generator = np.random.default_rng(7)
    return {
        "w1": generator.normal(size=(HIDDEN, INPUTS)) / 4,
        "b1": generator.normal(size=HIDDEN),
        "w2": generator.normal(size=(HIDDEN, CLASSES)) / 4,
        "b2": generator.normal(size=CLASSES),
    }


def graph_of(
    nodes: Sequence[onnx.NodeProto],
    constants: dict[str, NDArray[Any]],
    inputs: dict[str, Sequence[int | str]],
    outputs: dict[str, Sequence[int | str]],
    kind: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info(name, kind, list(shape)) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(s)) for name, s in outputs.items()],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def perceptron() -> onnx.ModelProto:
    """Two layers; the hidden one is an output too, and two names are code."""
    nodes = [
        helper.make_node("Gemm", [EVIL, "w1", "b1"], ["a"], name=EVIL, transB=1),
        helper.make_node("Relu", ["a"], ["hidden"]),
        helper.make_node("Gemm", ["hidden", "w2", "b2"], ["b"]),
        helper.make_node("Identity", ["b"], ["c"]),
        helper.make_node("Softmax", ["c"], ["y"]),
    ]
    outputs: dict[str, Sequence[int | str]] = {"y": ["n", CLASSES], "hidden": ["n", HIDDEN]}
    return graph_of(nodes, weights(), {EVIL: ["n", INPUTS]}, outputs)
