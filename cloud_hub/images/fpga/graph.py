"""An ONNX graph in the words that hls4ml has: numbered names, MatMul and Add for Gemm. Pure.

hls4ml's reader expects what the package qonnx leaves behind: shapes of all tensors, also of constants, a
name for each node, and neither Gemm nor Constant nor Identity nodes. The same is done here for the
operators of `OPERATORS`, so qonnx and its dependencies are not needed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
OPERATORS: Final = (
    *("Add", "BatchNormalization", "Cast", "Constant", "Dropout", "Elu", "Flatten", "Gemm", "Identity"),
    *("LeakyRelu", "MatMul", "Mul", "Relu", "Reshape", "Sigmoid", "Softmax", "Sub", "Tanh"),
)
MOST_WEIGHTS: Final = 2_000_000
_STANDARD: Final = ("", "ai.onnx")
_PASSED: Final = ("Dropout", "Identity", "Cast")


class GraphRefusedError(Exception):
    """The graph cannot be converted: ``what``, ``where`` (operator and node), ``fix``."""

    def __init__(self, what: str, where: str, fix: str) -> None:
        super().__init__(what)
        self.what, self.where, self.fix = what, where, fix


@dataclass(frozen=True)
class Port:
    """An input or output of the model: its name, and its shape without the batch."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Prepared:
    """The graph for hls4ml; ``outputs`` stand in the order in which hls4ml gives them."""

    model: onnx.ModelProto
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


def prepare(model: onnx.ModelProto) -> Prepared:
    """Return the graph in hls4ml's words; raises `GraphRefusedError`.

    The first dimension of every input and output is the batch. ``model`` is left as it is.
    """
    for node in model.graph.node:
        if node.domain not in _STANDARD or node.op_type not in OPERATORS:
            raise _refused(node, "has no counterpart in fixed point here", f"Use {', '.join(OPERATORS)}.")
    constants = {one.name for one in model.graph.initializer}
    for one in model.graph.input:
        if one.name not in constants:
            _shape_of(one, f"input {one.name}")
    try:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception as error:  # its own type is private
        raise GraphRefusedError(
            "the shapes of its tensors contradict each other", "model", "Check it with onnx.checker."
        ) from error
    return _Rewriter(inferred.graph).prepared()


@dataclass
class _Rewriter:
    graph: onnx.GraphProto
    names: dict[str, str] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)
    used: dict[str, Array] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    nodes: list[onnx.NodeProto] = field(default_factory=list)

    def prepared(self) -> Prepared:
        graph = self.graph
        self.constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
        fed = [one for one in graph.input if one.name not in self.constants]
        inputs = []
        for number, one in enumerate(fed):
            inputs.append(Port(one.name, _shape_of(one, f"input {one.name}")))
            self.names[one.name] = f"in{number}"
            self.shapes[f"in{number}"] = inputs[-1].shape
        declared = {one.name: one for one in (*graph.value_info, *graph.output)}
        for node in graph.node:
            self._take(node, declared)
        if sum(array.size for array in self.used.values()) > MOST_WEIGHTS:
            raise GraphRefusedError(
                f"it has more than {MOST_WEIGHTS} weights", "model", "Use a smaller model for an FPGA."
            )
        made = {self.names[one.name]: Port(one.name, _shape_of(one, one.name)) for one in graph.output}
        ordered = [name for node in self.nodes for name in node.output if name in made]
        if len(ordered) != len(graph.output) or not ordered or not inputs:
            raise GraphRefusedError(
                "an output is an input, a constant, or the same as another output",
                "model",
                "Give each output a layer of its own.",
            )
        return Prepared(
            self._model([self.names[p.name] for p in inputs], ordered),
            tuple(inputs),
            tuple(made[name] for name in ordered),
        )

    def _take(self, node: onnx.NodeProto, declared: Mapping[str, onnx.ValueInfoProto]) -> None:
        attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        if node.op_type == "Constant":
            if "value" not in attributes:
                raise _refused(node, "is not a tensor", "Keep constants as initializers.")
            self.constants[node.output[0]] = numpy_helper.to_array(attributes["value"])
            return
        if node.op_type in _PASSED:
            self._pass(node, attributes)
            return
        if any(node.output[1:]):
            raise _refused(node, "has more than one output", "Export the model for inference.")
        # Declared by the exporter or found by shape inference; scalars have no batch.
        info = declared.get(node.output[0])
        if info is None:
            raise _refused(node, "has an output of unknown shape", "Export the model with fixed shapes.")
        shape = _shape_of(info, _place(node))
        if node.op_type == "Gemm":
            self._gemm(node, attributes, shape)
            return
        if node.op_type == "BatchNormalization" and len(shape) > 1:
            raise _refused(node, "works on channels", "Convolutional models are not converted here.")
        if node.op_type == "MatMul" and node.input[1] not in self.constants:
            raise _refused(node, "multiplies by what is not constant", "Make its second input a weight.")
        inputs = [self._input(name, node) for name in node.input if name]
        self._add(node.op_type, inputs, node.output[0], shape, _kept(node.op_type, attributes))

    def _pass(self, node: onnx.NodeProto, attributes: Mapping[str, Any]) -> None:
        if node.op_type == "Cast" and attributes.get("to") != TensorProto.FLOAT:
            raise _refused(node, "does not cast to FLOAT", "Let the model take and give FLOAT.")
        if node.input[0] in self.constants:
            self.constants[node.output[0]] = self.constants[node.input[0]].astype(np.float32)
        else:
            self.names[node.output[0]] = self.names[node.input[0]]

    def _gemm(self, node: onnx.NodeProto, attributes: Mapping[str, Any], shape: tuple[int, ...]) -> None:
        weights = self.constants.get(node.input[1])
        biases = self.constants.get(node.input[2]) if len(node.input) > 2 and node.input[2] else None
        if weights is None or attributes.get("transA") or (len(node.input) > 2 and biases is None):
            raise _refused(node, "is not a layer with constant weights", "Use MatMul and Add.")
        matrix = weights.T if attributes.get("transB") else weights
        matrix = np.asarray(matrix * np.float32(attributes.get("alpha", 1.0)), np.float32)
        middle = f"{node.output[0]}/product" if biases is not None else node.output[0]
        product = [self._input(node.input[0], node), self._constant(matrix)]
        self._add("MatMul", product, middle, shape, {})
        if biases is not None:
            scaled = np.asarray(biases * np.float32(attributes.get("beta", 1.0)), np.float32)
            scaled = np.broadcast_to(scaled, (1, *shape)).reshape(shape)
            inputs = [self.names[middle], self._constant(scaled)]
            self._add("Add", inputs, node.output[0], shape, {})

    def _input(self, name: str, node: onnx.NodeProto) -> str:
        if name not in self.constants:
            return self.names[name]
        array = self.constants[name]
        while (
            node.op_type != "Reshape" and array.ndim > 1 and array.shape[0] == 1 and node.op_type != "MatMul"
        ):
            array = array[0]  # a batch of one
        if array.dtype not in (np.float32, np.int64):
            array = array.astype(np.float32)
        return self._constant(array)

    def _constant(self, array: Array) -> str:
        name = f"c{len(self.used)}"
        self.used[name] = np.ascontiguousarray(array)
        return name

    def _add(
        self, kind: str, inputs: list[str], output: str, shape: tuple[int, ...], attributes: Mapping[str, Any]
    ) -> None:
        name = f"t{len(self.nodes)}"
        self.names[output], self.shapes[name] = name, shape
        node = helper.make_node(kind, inputs, [name], name=f"n{len(self.nodes)}", **attributes)
        self.nodes.append(node)

    def _model(self, inputs: list[str], outputs: list[str]) -> onnx.ModelProto:
        infos = {
            name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *shape])
            for name, shape in self.shapes.items()
        }
        for name, array in self.used.items():
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            infos[name] = helper.make_tensor_value_info(name, kind, array.shape)
        graph = helper.make_graph(
            self.nodes,
            "model",
            [infos[name] for name in inputs],
            [infos[name] for name in outputs],
            [numpy_helper.from_array(array, name) for name, array in self.used.items()],
            value_info=[info for name, info in infos.items() if name not in {*inputs, *outputs}],
        )
        return helper.make_model(graph)


def _kept(kind: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes that hls4ml reads, with ONNX's defaults where its own differ."""
    defaults: dict[str, dict[str, Any]] = {
        "Softmax": {"axis": -1},
        "Elu": {"alpha": 1.0},
        "LeakyRelu": {"alpha": 0.01},
        "BatchNormalization": {"epsilon": 1e-5},
    }
    return {name: attributes.get(name, value) for name, value in defaults.get(kind, {}).items()}


def _shape_of(info: onnx.ValueInfoProto, where: str) -> tuple[int, ...]:
    tensor = info.type.tensor_type
    dims = [dim.dim_value for dim in tensor.shape.dim]
    if tensor.elem_type not in (TensorProto.FLOAT, TensorProto.DOUBLE):
        raise GraphRefusedError("it is not a tensor of floats", where, "Let the model take and give FLOAT.")
    if len(dims) < 2 or min(dims[1:]) < 1:
        raise GraphRefusedError(
            "its shape must be a batch and then fixed numbers", where, "Export the model with fixed shapes."
        )
    return tuple(dims[1:])


def _place(node: onnx.NodeProto) -> str:
    return f"operator {node.op_type}, node {node.name or 'with output ' + ', '.join(node.output)}"


def _refused(node: onnx.NodeProto, what: str, fix: str) -> GraphRefusedError:
    return GraphRefusedError(f"the operator {node.op_type} {what}", _place(node), fix)
