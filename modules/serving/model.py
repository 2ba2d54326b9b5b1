"""An ONNX model in a session, with the tensors it declares.

onnxruntime itself is imported by `onnx_file` alone: a script that does not use it need not carry it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from modules.serving.errors import InputRefusedError, ModelFailedError, ModelUnusableError
from modules.serving.log import describe_failure, log_event
from modules.serving.tensors import Array, TensorSpec, stack_maps

PLATFORM: Final = "onnx_onnxv1"
_TENSOR_TYPES: Final = {
    "tensor(bool)": "BOOL",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}
# What a classifier's ZipMap gives: one dict of label to probability a row.
_MAP_TYPES: Final = ("seq(map(int64,tensor(float)))", "seq(map(string,tensor(float)))")


class Node(Protocol):
    """How onnxruntime describes one input or output."""

    name: str
    type: str
    shape: Sequence[int | str | None]


class Session(Protocol):
    """What is used of onnxruntime's InferenceSession, which has no type hints."""

    def get_inputs(self) -> Sequence[Node]:
        """The inputs that must be fed."""

    def get_outputs(self) -> Sequence[Node]:
        """All outputs."""

    def run(self, output_names: Sequence[str], input_feed: Mapping[str, Array]) -> Sequence[object]:
        """The values of the named outputs."""


@dataclass(frozen=True)
class OutputTensor:
    """One output of a run; ``labels`` name the columns of what was a ZipMap."""

    name: str
    datatype: str
    array: Array
    labels: list[Any] | None = None


class OnnxModel:
    """A loaded model. ``inputs`` must all be fed; ``outputs`` are those that are tensors or ZipMaps.

    ``invalid_argument`` is what the session raises where it refuses an argument. Raises
    `ModelUnusableError` for an input that JSON cannot carry, and where no output is a tensor.
    """

    def __init__(self, session: Session, invalid_argument: type[Exception]) -> None:
        self._session = session
        self._invalid_argument = invalid_argument
        self.inputs = tuple(_read_input(node) for node in session.get_inputs())
        self.outputs = tuple(_read_outputs(session.get_outputs()))
        if not self.outputs:
            raise ModelUnusableError("the model has no output that is a tensor", where="model")
        self._output_names = [output.name for output in self.outputs]
        self._datatypes = {output.name: output.datatype for output in self.outputs}

    def run(self, feeds: Mapping[str, Array], names: Sequence[str] | None = None) -> list[OutputTensor]:
        """Run the model once and return the outputs ``names`` (all of them by default), in that order.

        Raises `InputRefusedError` where the runtime calls an argument invalid, else `ModelFailedError`;
        neither carries the runtime's words, which may repeat the input.
        """
        wanted = self._output_names if names is None else list(names)
        try:
            values = self._session.run(wanted, feeds)
            return [self._wrap(name, value) for name, value in zip(wanted, values, strict=True)]
        except self._invalid_argument as error:
            raise InputRefusedError(
                "the model refuses this input's shape or values", where="model", fix="Compare its metadata."
            ) from error
        except Exception as error:
            log_event(f"the model failed on a request: {describe_failure(error)}")
            raise ModelFailedError("the model failed on this input", where="model") from error

    def _wrap(self, name: str, value: object) -> OutputTensor:
        if isinstance(value, list):
            labels, array = stack_maps(value)
            return OutputTensor(name, "FP32", array, labels)
        if isinstance(value, np.ndarray):
            return OutputTensor(name, self._datatypes[name], value)
        raise TypeError(type(value).__name__)


def _read_input(node: Node) -> TensorSpec:
    if node.type not in _TENSOR_TYPES:
        raise ModelUnusableError(
            f"its type {node.type} has no datatype in the Open Inference Protocol",
            where=f"model input {node.name}",
            fix="Convert the input in the model, or feed the model from a score.py.",
        )
    return TensorSpec(node.name, _TENSOR_TYPES[node.type], _read_shape(node.shape))


def _read_outputs(nodes: Sequence[Node]) -> list[TensorSpec]:
    specs = []
    for node in nodes:
        if node.type in _TENSOR_TYPES:
            specs.append(TensorSpec(node.name, _TENSOR_TYPES[node.type], _read_shape(node.shape)))
        elif node.type in _MAP_TYPES:
            specs.append(TensorSpec(node.name, "FP32", (None, None)))
    return specs


def _read_shape(shape: Sequence[int | str | None]) -> tuple[int | str | None, ...] | None:
    """Return the declared shape; the runtime shows an open rank and a scalar alike, as no dimensions."""
    return tuple(shape) if shape else None
