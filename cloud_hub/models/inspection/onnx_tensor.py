"""One TensorProto, judged by its header: what it claims must be what it holds. Pure but for `Wire`."""

from dataclasses import dataclass, field
from typing import Final

from cloud_hub.errors import NotOnnxError
from cloud_hub.models.inspection.errors import ExternalDataError, ModelTooComplexError
from cloud_hub.models.inspection.protobuf import (
    BYTES,
    ODD,
    VARINT,
    Field,
    Wire,
    embedded,
    varint,
)

# onnx.proto 1.23, TensorProto.DataType: bits of one element; 0 for text.
BITS: Final = {
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 8: 0, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64,
    15: 128, 16: 16, 17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2, 27: 6, 28: 6,
}  # fmt: skip
DIMS, TYPE, SEGMENT, NAME, RAW, EXTERNAL, LOCATION = 1, 2, 3, 8, 9, 13, 14
FLOATS, INT32S, TEXTS, INT64S, DOUBLES, UINT64S = 4, 5, 6, 7, 10, 11
DATA: Final = {FLOATS, INT32S, TEXTS, INT64S, DOUBLES, UINT64S, RAW}
FIXED: Final = {FLOATS: 4, DOUBLES: 8}
KEYS: Final = {"location", "offset", "length", "checksum"}
MAX_DIMS = 64
MAX_EXTERNAL_BYTES = 4096
IS_EXTERNAL = 1


@dataclass(frozen=True)
class External:
    """Weights in another file: ``length`` bytes from ``offset`` of ``location``, as the model says."""

    location: str
    offset: int
    length: int


@dataclass
class Tensor:
    """What the header of a tensor says."""

    dims: list[int] = field(default_factory=list)
    kind: int = 0
    name: bytes = b""
    held: dict[int, int] = field(default_factory=dict)
    texts: int = 0
    entries: dict[str, str] = field(default_factory=dict)
    location: int = 0

    @property
    def data_bytes(self) -> int:
        """Return the bytes that it holds in the model's file."""
        return sum(self.held.values())

    @property
    def is_external(self) -> bool:
        """Does it say anything at all of another file?"""
        return self.location != 0 or bool(self.entries)

    def stripped(self) -> bytes:
        """Return the same tensor without elements, for the checker of ONNX."""
        kind = varint(TYPE << 3 | VARINT) + varint(self.kind)
        return b"\x08\x00" + kind + embedded(NAME, self.name)


def read_tensor(wire: Wire, start: int, end: int) -> Tensor:
    """Return the tensor between two offsets; raises `NotOnnxError`."""
    tensor = Tensor()
    for each in wire.fields(start, end):
        if each.number == DIMS:
            tensor.dims += wire.varints(each.start, each.end) if each.wire == BYTES else [each.value]
            if len(tensor.dims) > MAX_DIMS or any(size >= 1 << 63 for size in tensor.dims):
                raise NotOnnxError("a tensor has too many dimensions, or a negative one")
        elif each.number == SEGMENT:
            raise NotOnnxError("a tensor comes in segments")
        elif each.number in DATA:
            tensor.held[each.number] = tensor.held.get(each.number, 0) + each.end - each.start
            tensor.texts += each.number == TEXTS
        elif each.number == NAME:
            tensor.name = _short(wire, each)
        elif each.number == EXTERNAL:
            _entry(wire, each, tensor.entries)
        elif each.number == TYPE:
            tensor.kind = each.value
        elif each.number == LOCATION:
            tensor.location = max(tensor.location, each.value)
    return tensor


def judge(tensor: Tensor, file_bytes: int, max_tensor_bytes: int) -> External | None:
    """Return where its elements lie if not in the model's file of ``file_bytes``; raises `NotOnnxError`."""
    if tensor.kind not in BITS:
        raise NotOnnxError("a tensor has no known type")
    count = 1
    for size in tensor.dims:
        count *= size
    needed = (count * BITS[tensor.kind] + 7) // 8
    if needed > max_tensor_bytes:
        raise ModelTooComplexError(f"a tensor claims more than {max_tensor_bytes} bytes")
    if tensor.is_external:
        return _external(tensor, needed)
    if needed > 8 * file_bytes or count > 8 * file_bytes:
        raise NotOnnxError("a tensor claims more than the file holds")
    _judge_held(tensor, count, needed)
    return None


def _judge_held(tensor: Tensor, count: int, needed: int) -> None:
    for number, held in tensor.held.items():
        bits = BITS[tensor.kind]
        if number == RAW:
            right = held == needed
        elif number == TEXTS:
            right = tensor.texts == count
        elif number in FIXED:
            # A complex number is two of them.
            right = held == count * FIXED[number] * (2 if tensor.kind in {14, 15} else 1)
        else:
            right = held * 8 >= count * min(bits, 8)
        if not right:
            raise NotOnnxError("a tensor claims another size than it holds")


def _external(tensor: Tensor, needed: int) -> External:
    entries = tensor.entries
    if tensor.location != IS_EXTERNAL or "location" not in entries or tensor.held:
        raise ExternalDataError("a tensor is half in another file")
    if tensor.kind == 8:
        raise ExternalDataError("a tensor of texts is in another file")
    offset, length = (_number(entries.get(key, default)) for key, default in
                      (("offset", "0"), ("length", str(needed))))  # fmt: skip
    if length != needed:
        raise ExternalDataError("a tensor claims another size than it holds")
    return External(entries["location"], offset, length)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ExternalDataError("an offset or length is no number")
    return int(text)


def _entry(wire: Wire, each: Field, entries: dict[str, str]) -> None:
    if each.wire != BYTES:
        raise NotOnnxError(ODD)
    pair = {1: b"", 2: b""}
    for part in wire.fields(each.start, each.end):
        if part.number in pair:
            pair[part.number] = _short(wire, part)
    key, value = (text.decode(errors="replace") for text in (pair[1], pair[2]))
    if key not in KEYS or key in entries:
        raise ExternalDataError("a tensor's place in another file is not told plainly")
    entries[key] = value


def _short(wire: Wire, each: Field) -> bytes:
    if each.wire != BYTES:
        raise NotOnnxError(ODD)
    if each.end - each.start > MAX_EXTERNAL_BYTES:
        raise ModelTooComplexError("a name is longer than allowed")
    return wire.read(each.start, each.end)
