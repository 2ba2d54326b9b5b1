"""An ONNX file's structure without its weights (onnx.proto 1.23): a *skeleton* that is safe to load.

Every tensor, wherever it stands, is judged by `onnx_tensor`. Those with more than `KEEP_BYTES` lose
their elements in the skeleton, so looking at a model takes memory by its structure, not its size.
"""

from dataclasses import dataclass, field
from typing import Final

from cloud_hub.errors import NotOnnxError
from cloud_hub.models.inspection.errors import ExternalDataError, ModelTooComplexError
from cloud_hub.models.inspection.limits import InspectionLimits
from cloud_hub.models.inspection.onnx_tensor import External, judge, read_tensor
from cloud_hub.models.inspection.protobuf import BYTES, ODD, Wire, embedded

# Every field through which a TensorProto can be reached; a test compares it with ONNX's descriptors.
INNER: Final[dict[str, dict[int, str]]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto", 10: "TensorProto", 6: "GraphProto", 11: "GraphProto",
        22: "SparseTensorProto", 23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
}  # fmt: skip
KEEP_BYTES = 4096


@dataclass
class Scan:
    """What was found: the skeleton, and weights that lie elsewhere."""

    skeleton: bytes = b""
    tensors: int = 0
    weight_bytes: int = 0
    external: list[External] = field(default_factory=list)


def scan(wire: Wire, limits: InspectionLimits) -> Scan:
    """Return the scan of a whole file; raises `NotOnnxError`, `ModelTooComplexError`."""
    found = _Scanner(wire, limits)
    found.scan.skeleton = found.message("ModelProto", 0, wire.size_bytes, 0)
    return found.scan


class _Scanner:
    def __init__(self, wire: Wire, limits: InspectionLimits) -> None:
        self._wire = wire
        self._limits = limits
        self._copied = 0
        self.scan = Scan()

    def message(self, kind: str, start: int, end: int, depth: int) -> bytes:
        """Return the skeleton of a message of ``kind``."""
        if depth > self._limits.max_nesting:
            raise ModelTooComplexError("the model is nested more deeply than allowed")
        out = bytearray()
        for each in self._wire.fields(start, end):
            inner = INNER[kind].get(each.number)
            if inner is None:
                out += self._copy(each.at, each.end)
            elif each.wire != BYTES:
                raise NotOnnxError(ODD)
            elif inner == "TensorProto":
                in_sparse = kind == "SparseTensorProto"
                out += embedded(each.number, self._tensor(each.start, each.end, in_sparse=in_sparse))
            else:
                out += embedded(each.number, self.message(inner, each.start, each.end, depth + 1))
        return bytes(out)

    def _tensor(self, start: int, end: int, *, in_sparse: bool) -> bytes:
        tensor = read_tensor(self._wire, start, end)
        external = judge(tensor, self._wire.size_bytes, self._limits.max_tensor_bytes)
        self.scan.tensors += 1
        self.scan.weight_bytes += tensor.data_bytes
        if external is not None:
            if in_sparse:
                raise ExternalDataError("a sparse tensor is in another file")
            self.scan.external.append(external)
            return tensor.stripped()
        # The checker compares the parts of a sparse tensor with one another.
        if in_sparse or end - start <= KEEP_BYTES:
            return self._copy(start, end)
        if len(tensor.held) > 1:
            raise NotOnnxError("a tensor holds its elements twice")
        return tensor.stripped() if tensor.held else self._copy(start, end)

    def _copy(self, start: int, end: int) -> bytes:
        self._copied += end - start
        if self._copied > self._limits.max_structure_bytes:
            raise ModelTooComplexError(
                f"the model without its weights has more than {self._limits.max_structure_bytes} bytes"
            )
        return self._wire.read(start, end)
