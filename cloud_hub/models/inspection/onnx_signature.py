"""The signature of a loaded skeleton: what goes in and out, and what it is made of."""

from collections.abc import Iterator
from typing import Any, Final

import onnx
import onnx.checker
from google.protobuf.message import DecodeError

from cloud_hub.errors import NotOnnxError
from cloud_hub.models.inspection.limits import InspectionLimits

OWN_DOMAINS: Final = {"", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training",
                      "ai.onnx.preview"}  # fmt: skip


def signature_of(skeleton: bytes, limits: InspectionLimits) -> dict[str, Any]:
    """Load a skeleton, check it and return its signature as JSON values; raises `NotOnnxError`.

    ``inputs``, ``outputs``: list of ``{"name", "type", "shape"}``; ``opset``: highest version asked
    for; ``ir_version``; ``producer``; ``metadata``; ``operators``: sorted ``domain::name``, without
    ``::`` for ONNX's own; ``domains``: version by domain; ``custom_domains``: used and not ONNX's.
    """
    try:
        model = onnx.load_model_from_string(skeleton)
    except (DecodeError, ValueError) as error:
        raise NotOnnxError("the file is not an ONNX model") from error
    if not model.graph.output or not model.opset_import:
        raise NotOnnxError("the file is not an ONNX model (no outputs or no opset)")
    try:
        onnx.checker.check_model(skeleton)
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        raise NotOnnxError("the ONNX model does not pass the checker") from error
    initialised = {tensor.name for tensor in model.graph.initializer}
    nodes = list(_nodes(model))
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    return {
        "inputs": [_value(value) for value in model.graph.input if value.name not in initialised],
        "outputs": [_value(value) for value in model.graph.output],
        "opset": max(opset.version for opset in model.opset_import),
        "ir_version": model.ir_version,
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "metadata": _short(metadata, limits),
        "operators": sorted({_operator(node) for node in nodes}),
        "domains": {opset.domain: opset.version for opset in model.opset_import},
        "custom_domains": sorted({node.domain for node in nodes} - OWN_DOMAINS),
    }


def _nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Yield the nodes of all graphs and functions."""
    waiting = [*model.graph.node]
    for training in model.training_info:
        waiting += [*training.initialization.node, *training.algorithm.node]
    for function in model.functions:
        waiting += function.node
    while waiting:
        node = waiting.pop()
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                waiting += graph.node


def _operator(node: onnx.NodeProto) -> str:
    return f"{node.domain}::{node.op_type}" if node.domain not in {"", "ai.onnx"} else node.op_type


def _short(metadata: dict[str, str], limits: InspectionLimits) -> dict[str, str]:
    """Return the entries that are short, up to their greatest number: some exporters hide files here."""
    short = [
        (key, value)
        for key, value in sorted(metadata.items())
        if len(key.encode()) + len(value.encode()) <= limits.max_text_bytes
    ]
    return dict(short[: limits.max_metadata_entries])


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
