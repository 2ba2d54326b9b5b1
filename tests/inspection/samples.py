"""Models, good and hostile, made here."""

import io
import json
import pickle
import stat
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CANARY = Path("/tmp/headland-inspection-canary")


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return (Path.touch, (CANARY,))


def model(*, scale: float = 2.0, count: int = 2, domain: str = "") -> onnx.ModelProto:
    """Return ``y = x * w`` with ``count`` weights."""
    node = helper.make_node("Mul", ["x", "w"], ["y"], domain=domain)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", count])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", count])],
        [numpy_helper.from_array(np.full(count, scale, np.float32), "w")],
    )
    imports = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    made = helper.make_model(
        graph, opset_imports=imports, ir_version=8, producer_name="test", producer_version="1"
    )
    helper.set_model_props(made, {"author": "ana", "blob": "x" * 100_000})
    return made


def as_bytes(made: onnx.ModelProto) -> bytes:
    return bytes(made.SerializeToString())  # type: ignore[no-untyped-call]


def external(location: str, count: int = 2, **more: str) -> bytes:
    """Return a model whose weights are in ``location``."""
    made = model(count=count)
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")  # type: ignore[no-untyped-call]
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return as_bytes(made)


def external_claiming(count: int, location: str) -> bytes:
    """Return a model of a few bytes that claims ``count`` floats in ``location``."""
    made = onnx.load_model_from_string(external(location))
    made.graph.initializer[0].ClearField("dims")  # type: ignore[no-untyped-call]
    made.graph.initializer[0].dims.append(count)
    return as_bytes(made)


def hidden_external(place: str, location: str) -> bytes:
    """Return a model with an external tensor in a place that is easily missed."""
    evil = TensorProto(name="e", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    entry = evil.external_data.add()
    entry.key, entry.value = "location", location
    made = model()
    node = helper.make_node("Constant", [], ["c"], value=evil)
    if place == "attribute":
        made.graph.node.append(node)
    elif place == "subgraph":
        inner = helper.make_graph([node], "inner", [], [helper.make_tensor_value_info("c", 1, [1])])
        made.graph.node.append(helper.make_node("If", ["x"], ["z"], then_branch=inner, else_branch=inner))
    elif place == "function":
        made.functions.append(
            helper.make_function("own", "f", [], ["c"], [node], [helper.make_opsetid("", 17)])
        )
    elif place == "training":
        made.training_info.add().algorithm.node.append(node)
    elif place == "sparse":
        made.graph.sparse_initializer.add().values.CopyFrom(evil)  # type: ignore[no-untyped-call]
    elif place == "unsaid":
        evil.data_location = TensorProto.DEFAULT
        made.graph.initializer.append(evil)
    return as_bytes(made)


def claiming(*dims: int, kind: int = TensorProto.FLOAT) -> bytes:
    """Return a model whose weights claim a size and hold 8 bytes."""
    made = model()
    made.graph.initializer[0].ClearField("dims")  # type: ignore[no-untyped-call]
    made.graph.initializer[0].dims.extend(dims)
    made.graph.initializer[0].data_type = kind
    return as_bytes(made)


def nested(depth: int) -> bytes:
    """Return graphs within graphs, written by hand: ONNX itself would not write them."""
    content = b""
    for _ in range(depth):
        # AttributeProto.g, NodeProto.attribute, GraphProto.node
        for number in (6, 5, 1):
            content = bytes([number << 3 | 2]) + _length(len(content)) + content
    return b"\x08\x08" + b"\x3a" + _length(len(content)) + content


def many_empty_nodes(count: int) -> bytes:
    content = b"\x0a\x00" * count
    return b"\x08\x08\x3a" + _length(len(content)) + content


def _length(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def safetensors(header: dict[str, object] | None = None, data: bytes = bytes(8)) -> bytes:
    if header is None:
        header = {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def npy(*, objects: bool) -> bytes:
    buffer = io.BytesIO()
    array = np.array([Trap()], object) if objects else np.zeros(4, np.float32)
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def zipped(**entries: bytes) -> bytes:
    """Return a zip; ``__`` in a name stands for a full stop."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            info = zipfile.ZipInfo(name.replace("__", "."))
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


PICKLES: dict[str, bytes] = {
    **{f"protocol {number}": pickle.dumps(Trap(), number) for number in range(6)},
    "long before the trap": pickle.dumps([["x" * 50] * 4000, Trap()], 4),
    "joblib, compressed": zlib.compress(pickle.dumps(Trap())),
    "torch": zipped(archive__data__pkl=pickle.dumps(Trap())),
    "torch, renamed entry": zipped(weights=pickle.dumps(Trap())),
    "npy of objects": npy(objects=True),
    "npz of objects": zipped(a__npy=npy(objects=False), b__npy=npy(objects=True)),
    "npy that is a pickle": zipped(a__npy=pickle.dumps(Trap())),
}
