"""Small layers with models in them, old and new."""

import io
import json
import tarfile
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper, numpy_helper

from cloud_hub.images.deltas import scaling
from cloud_hub.images.deltas.making import Made, make_delta
from contract.delta.applying import pieces
from contract.delta.container import Header, read_header
from contract.digests import sha256

Array = npt.NDArray[Any]


def tar_of(files: dict[str, bytes], **links: str) -> bytes:
    """Return a tar with folders for its files, as builds write them."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            if name.endswith("/"):
                member.type, member.mode, member.size = tarfile.DIRTYPE, 0o755, 0
            tar.addfile(member, io.BytesIO(data))
        for name, target in links.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    return buffer.getvalue()


def onnx_of(weights: dict[str, Array], *, floats: bool = False) -> bytes:
    """Return a model with these initialisers; ``floats``: in the field for floats, not as raw bytes."""
    made = [
        helper.make_tensor(name, TensorProto.FLOAT, each.shape, each.flatten().tolist())
        if floats
        else numpy_helper.from_array(each, name)
        for name, each in weights.items()
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [x], [y], made)
    return bytes(helper.make_model(graph).SerializeToString())  # type: ignore[no-untyped-call]


def safetensors_of(weights: dict[str, Array]) -> bytes:
    """Return a safetensors file of float32 tensors."""
    header, at = {}, 0
    for name, each in weights.items():
        header[name] = {
            "dtype": "F32",
            "shape": list(each.shape),
            "data_offsets": [at, at + each.nbytes],
        }
        at += each.nbytes
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + b"".join(each.tobytes() for each in weights.values())


def weights(seed: int, kind: Any = np.float32, size: int = 60_000) -> dict[str, Array]:
    """Return two large tensors and a small one."""
    random = np.random.default_rng(seed)
    shapes = {"a": (size // 300, 300), "b": (size // 2,), "tiny": (4,)}
    return {name: (random.normal(0, 0.02, shape)).astype(kind) for name, shape in shapes.items()}


def tuned(old: dict[str, Array], seed: int = 9) -> dict[str, Array]:
    """Return weights that moved a little."""
    random = np.random.default_rng(seed)
    return {
        name: (each + random.normal(0, 1e-5, each.shape)).astype(each.dtype) for name, each in old.items()
    }


def rounded(old: dict[str, Array], new: dict[str, Array]) -> dict[str, Array]:
    """Return weights that are whole steps away from the old ones, as near to the new ones as that goes."""
    return {
        name: scaling.restored(
            each.reshape(-1), scaling.rounded(each.reshape(-1), new[name].reshape(-1))
        ).reshape(each.shape)
        for name, each in old.items()
    }


def header_of(old: bytes, new: bytes) -> Header:
    """Return the header of a delta between two tars."""
    return Header(from_diff_id=sha256(old), to_diff_id=sha256(new), from_bytes=len(old), to_bytes=len(new))


def delta_of(
    old: bytes, new: bytes, *, with_tensors: bool = True, with_scaled: bool = True
) -> tuple[bytes, Made]:
    """Return a delta between two tars, and what it came to."""
    target = io.BytesIO()
    made = make_delta(
        io.BytesIO(old),
        io.BytesIO(new),
        header_of(old, new),
        target,
        with_tensors=with_tensors,
        with_scaled=with_scaled,
    )
    return target.getvalue(), made


def applied(delta: bytes, old: bytes) -> bytes:
    """Return what a delta makes of a tar."""
    source = io.BytesIO(delta)
    return b"".join(pieces(source, read_header(source), lambda at, size: old[at : at + size]))
