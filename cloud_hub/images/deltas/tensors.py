"""Where the tensors of a layer's models lie within its tar; nothing of them is loaded.

ONNX files (also those with weights in files beside them) and safetensors. A file that is not what its name
says has no tensors: its bytes are then treated as any others.
"""

import io
import json
import posixpath
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, cast

from cloud_hub.errors import ModelRefusedError
from cloud_hub.models.inspection.onnx_scan import INNER
from cloud_hub.models.inspection.onnx_tensor import (
    DOUBLES,
    FLOATS,
    RAW,
    External,
    Tensor,
    judge,
    read_tensor,
)
from cloud_hub.models.inspection.protobuf import BYTES, Wire

LEAST_BYTES: Final = 512
MAX_FIELDS: Final = 2_000_000
MAX_NESTING: Final = 64
MAX_HEADER_BYTES: Final = 16 << 20
MAX_TENSOR_BYTES: Final = 64 << 30
# onnx.proto 1.23, TensorProto.DataType: bytes of one number, and whether it is a float. Complex ones are two.
ONNX_TYPES: Final = {
    1: (4, True), 2: (1, False), 3: (1, False), 4: (2, False), 5: (2, False), 6: (4, False), 7: (8, False),
    9: (1, False), 10: (2, True), 11: (8, True), 12: (4, False), 13: (8, False), 14: (4, True), 15: (8, True),
    16: (2, True), 17: (1, True), 18: (1, True), 19: (1, True), 20: (1, True),
}  # fmt: skip
SAFE_TYPES: Final = {
    "F64": (8, True), "F32": (4, True), "F16": (2, True), "BF16": (2, True), "F8_E4M3": (1, True),
    "F8_E5M2": (1, True), "I64": (8, False), "U64": (8, False), "I32": (4, False), "U32": (4, False),
    "I16": (2, False), "U16": (2, False), "I8": (1, False), "U8": (1, False), "BOOL": (1, False),
}  # fmt: skip

Key = tuple[str, str, tuple[int, ...], str, int]
"""Path in the layer, name, shape, type, and which of those that are all equal."""


@dataclass(frozen=True)
class Extent:
    """The elements of a tensor within a tar."""

    at: int
    size_bytes: int
    width: int
    is_float: bool


def tensors_in(tar: BinaryIO) -> dict[Key, Extent]:
    """Return the tensors of all models in a tar of at least `LEAST_BYTES` each."""
    tar.seek(0)
    try:
        with tarfile.open(fileobj=tar, mode="r:") as opened:
            files = {member.name: (member.offset_data, member.size) for member in opened if member.isreg()}
    except (tarfile.TarError, ValueError, RecursionError):
        return {}
    found: dict[Key, Extent] = {}
    for path, (at, size) in files.items():
        found |= _keyed(path, _of_file(tar, path, at, size, files))
    return found


def tensors_of_onnx(file: BinaryIO, size_bytes: int) -> dict[Key, Extent]:
    """Return the tensors that lie in one ONNX file, as `tensors_in` does; their path is empty.

    Raises a `ModelRefusedError` where it is none.
    """
    return _keyed("", _onnx(Wire(file, size_bytes, MAX_FIELDS), "", 0, {}))


_Named = tuple[str, tuple[int, ...], str, Extent]


def _keyed(path: str, named: Iterable[_Named]) -> dict[Key, Extent]:
    found: dict[Key, Extent] = {}
    seen: Counter[tuple[str, tuple[int, ...], str]] = Counter()
    for name, dims, kind, extent in named:
        if extent.size_bytes >= LEAST_BYTES:
            found[(path, name, dims, kind, seen[name, dims, kind])] = extent
        seen[name, dims, kind] += 1
    return found


def _of_file(tar: BinaryIO, path: str, at: int, size: int, files: dict[str, tuple[int, int]]) -> list[_Named]:
    try:
        if path.endswith(".onnx"):
            return list(
                _onnx(Wire(cast(BinaryIO, _Section(tar, at, size)), size, MAX_FIELDS), path, at, files)
            )
        if path.endswith(".safetensors"):
            return list(_safetensors(tar, at, size))
    except (ModelRefusedError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass  # whatever it is, it is bytes
    return []


def _onnx(wire: Wire, path: str, at: int, files: dict[str, tuple[int, int]]) -> Iterator[_Named]:
    for start, end in _tensor_messages(wire, "ModelProto", 0, wire.size_bytes, 0):
        tensor = read_tensor(wire, start, end)
        external = judge(tensor, wire.size_bytes, MAX_TENSOR_BYTES)
        if tensor.kind not in ONNX_TYPES:
            continue
        width, is_float = ONNX_TYPES[tensor.kind]
        place = _held(wire, start, end, tensor, at) if external is None else _beside(external, path, files)
        if place is not None and place[1] % width == 0:
            name = tensor.name.decode(errors="replace")
            yield name, tuple(tensor.dims), str(tensor.kind), Extent(*place, width, is_float)


def _tensor_messages(wire: Wire, kind: str, start: int, end: int, depth: int) -> Iterator[tuple[int, int]]:
    if depth > MAX_NESTING:
        return
    for each in wire.fields(start, end):
        inner = INNER[kind].get(each.number)
        if inner is None or each.wire != BYTES:
            continue
        if inner == "TensorProto":
            yield each.start, each.end
        else:
            yield from _tensor_messages(wire, inner, each.start, each.end, depth + 1)


def _held(wire: Wire, start: int, end: int, tensor: Tensor, at: int) -> tuple[int, int] | None:
    """Return where its elements lie if that is one piece of little-endian numbers."""
    pieces = [each for each in wire.fields(start, end) if each.number in {RAW, FLOATS, DOUBLES}]
    if len(pieces) != 1 or len(tensor.held) != 1 or pieces[0].wire != BYTES:
        return None
    return at + pieces[0].start, pieces[0].end - pieces[0].start


def _beside(external: External, path: str, files: dict[str, tuple[int, int]]) -> tuple[int, int] | None:
    name = posixpath.normpath(posixpath.join(posixpath.dirname(path), external.location))
    at, size = files.get(name, (0, 0))
    if external.offset + external.length > size:
        return None
    return at + external.offset, external.length


def _safetensors(tar: BinaryIO, at: int, size: int) -> Iterator[_Named]:
    tar.seek(at)
    length = int.from_bytes(tar.read(8), "little")
    if length > min(MAX_HEADER_BYTES, size - 8):
        return
    header = json.loads(tar.read(length).decode())
    for name, tensor in header.items():
        if name == "__metadata__" or tensor["dtype"] not in SAFE_TYPES:
            continue
        width, is_float = SAFE_TYPES[tensor["dtype"]]
        first, last = (int(each) for each in tensor["data_offsets"])
        if not 0 <= first <= last <= size - 8 - length or (last - first) % width:
            raise ValueError(name)
        dims = tuple(int(each) for each in tensor["shape"])
        yield name, dims, tensor["dtype"], Extent(at + 8 + length + first, last - first, width, is_float)


class _Section(io.RawIOBase):
    """A part of a file, as a file; only what `Wire` uses."""

    def __init__(self, file: BinaryIO, at: int, size: int) -> None:
        self._file, self._at, self._size, self._position = file, at, size, 0

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation
        self._position = offset
        return offset

    def read(self, size: int = -1, /) -> bytes:
        left = max(0, self._size - self._position)
        self._file.seek(self._at + self._position)
        found = self._file.read(left if size < 0 else min(size, left))
        self._position += len(found)
        return found
