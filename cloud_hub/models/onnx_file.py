"""Reads an ONNX file without trusting it (onnx/onnx `docs/Security.md`): nothing of it is run."""

from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from cloud_hub.errors import NotOnnxError

FIX = "Export the model to one self-contained .onnx file."


def read_signature(path: Path, *, where: str) -> dict[str, Any]:
    """Return ``{"inputs": [...], "outputs": [...], "opset": n}``; raises `NotOnnxError`.

    A model whose weights lie in other files is refused: what was checked here must be all there is.
    """
    try:
        model = onnx.load_model(path, load_external_data=False)
    except (DecodeError, ValueError, OSError) as error:
        raise NotOnnxError("the file is not an ONNX model", where=where, fix=FIX) from error
    if not model.graph.output or not model.opset_import:
        raise NotOnnxError("the file is not an ONNX model (no outputs or no opset)", where=where, fix=FIX)
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(model.graph)):
        raise NotOnnxError("the model keeps weights in other files", where=where, fix=FIX)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise NotOnnxError("the ONNX model does not pass the checker", where=where, fix=FIX) from error
    initialised = {tensor.name for tensor in model.graph.initializer}
    return {
        "inputs": [_value(value) for value in model.graph.input if value.name not in initialised],
        "outputs": [_value(value) for value in model.graph.output],
        "opset": max(opset.version for opset in model.opset_import),
    }


def _tensors(graph: onnx.GraphProto) -> list[onnx.TensorProto]:
    tensors = list(graph.initializer)
    tensors += [sparse.values for sparse in graph.sparse_initializer]
    for node in graph.node:
        for attribute in node.attribute:
            tensors += [attribute.t, *attribute.tensors]
            for inner in (attribute.g, *attribute.graphs):
                if inner.node or inner.initializer:
                    tensors += _tensors(inner)
    return tensors


def _value(value: onnx.ValueInfoProto) -> dict[str, Any]:
    kind = value.type.WhichOneof("value")  # type: ignore[no-untyped-call]
    if kind != "tensor_type":
        return {"name": value.name, "type": (kind or "unknown").removesuffix("_type")}
    tensor = value.type.tensor_type
    shape = [_dimension(dimension) for dimension in tensor.shape.dim]
    return {
        "name": value.name,
        "type": onnx.helper.tensor_dtype_to_string(tensor.elem_type).removeprefix("TensorProto."),
        "shape": shape,
    }


def _dimension(dimension: onnx.TensorShapeProto.Dimension) -> int | str | None:
    """Return a fixed size, the name of one that varies, or none."""
    fixed = dimension.HasField("dim_value")  # type: ignore[no-untyped-call]
    return dimension.dim_value if fixed else (dimension.dim_param or None)
