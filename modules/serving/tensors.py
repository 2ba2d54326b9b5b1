"""JSON tensors of the Open Inference Protocol v2 to numpy arrays and back. Pure.

Specification: kserve/open-inference-protocol, ``specification/protocol/inference_rest.md``,
"Tensor Data" and "Tensor Data Types": data is row-major, flat or nested.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import GenericAlias
from typing import Annotated, Any, Final, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from modules.serving.errors import TensorInvalidError

Array = NDArray[Any]
MAX_RANK: Final = 32
_OPENING: Final = re.compile(rb"[ \t\r\n\[]*")
_DIMENSION = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]


def _range(info: np.iinfo[Any] | np.finfo[Any]) -> msgspec.Meta:
    low, high = (info.min, info.max) if isinstance(info, np.iinfo) else (float(info.min), float(info.max))
    return msgspec.Meta(ge=low, le=high)


# Datatype: numpy type, and the type of one JSON element with its range. msgspec cannot bound by
# 2**64 - 1; there numpy refuses what is too large.
DATATYPES: Final[Mapping[str, tuple[type, object]]] = {
    "BOOL": (np.bool_, bool),
    "INT8": (np.int8, Annotated[int, _range(np.iinfo(np.int8))]),
    "INT16": (np.int16, Annotated[int, _range(np.iinfo(np.int16))]),
    "INT32": (np.int32, Annotated[int, _range(np.iinfo(np.int32))]),
    "INT64": (np.int64, Annotated[int, _range(np.iinfo(np.int64))]),
    "UINT8": (np.uint8, Annotated[int, _range(np.iinfo(np.uint8))]),
    "UINT16": (np.uint16, Annotated[int, _range(np.iinfo(np.uint16))]),
    "UINT32": (np.uint32, Annotated[int, _range(np.iinfo(np.uint32))]),
    "UINT64": (np.uint64, Annotated[int, msgspec.Meta(ge=0)]),
    "FP16": (np.float16, Annotated[float, _range(np.finfo(np.float16))]),
    "FP32": (np.float32, Annotated[float, _range(np.finfo(np.float32))]),
    "FP64": (np.float64, float),
    "BYTES": (np.object_, str),
}


class JsonTensor(msgspec.Struct, frozen=True):
    """One entry of ``inputs``; ``data`` is decoded once its datatype is known."""

    name: str
    shape: tuple[_DIMENSION, ...]
    datatype: str
    data: msgspec.Raw


@dataclass(frozen=True)
class TensorSpec:
    """A tensor that a model declares.

    A dimension is a size, a symbol that means the same size wherever it stands, or None for any
    size; ``shape`` is None where the rank is open too.
    """

    name: str
    datatype: str
    shape: tuple[int | str | None, ...] | None

    def wire_shape(self) -> list[int]:
        """The shape as the protocol writes it: -1 for what may vary."""
        return [size if isinstance(size, int) else -1 for size in self.shape or ()]


def read_data(datatype: str, data: bytes | memoryview, *, where: str) -> Array:
    """Return JSON ``data`` as an array of ``datatype``, in the shape that its nesting says.

    Raises `TensorInvalidError` for an unknown datatype, for ragged or too deep lists, and for an
    element that is not of the datatype or out of its range.
    """
    opening = _OPENING.match(data)
    depth = bytes(opening.group()).count(b"[") if opening else 0
    if not 1 <= depth <= MAX_RANK:
        raise TensorInvalidError(f"data is not a list nested 1 to {MAX_RANK} deep", where=where)
    try:
        dtype, decoder = DATATYPES[datatype][0], _decoder(datatype, depth)
    except KeyError as error:
        raise TensorInvalidError(
            "the datatype is not known", where=where, fix=f"Use one of {', '.join(DATATYPES)}."
        ) from error
    try:
        array: Array = np.array(decoder.decode(data), dtype=dtype)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise TensorInvalidError(f"data does not fit datatype {datatype}: {reason}", where=where) from error
    except OverflowError as error:
        raise TensorInvalidError(f"an element is out of the range of {datatype}", where=where) from error
    except ValueError as error:
        raise TensorInvalidError("the nested lists of data differ in length", where=where) from error
    if array.ndim != depth:  # ragged lists of strings do not make numpy raise
        raise TensorInvalidError("the nested lists of data differ in length", where=where)
    return array


def read_tensor(tensor: JsonTensor, *, where: str) -> Array:
    """Return the tensor as an array of its own shape; raises `TensorInvalidError`."""
    array = read_data(tensor.datatype, memoryview(tensor.data), where=where)
    if array.shape == tensor.shape:
        return array
    if array.ndim > 1:
        raise TensorInvalidError(
            f"data is nested as {list(array.shape)}, shape says {list(tensor.shape)}", where=where
        )
    if array.size != math.prod(tensor.shape) or len(tensor.shape) > MAX_RANK:
        raise TensorInvalidError(
            f"data has {array.size} elements, which do not fill shape {list(tensor.shape)}", where=where
        )
    try:
        return array.reshape(tensor.shape)
    except ValueError as error:  # no element, yet dimensions whose product numpy cannot hold
        raise TensorInvalidError("the shape is too large", where=where) from error


def check_fit(array: Array, datatype: str, spec: TensorSpec, symbols: dict[str, int], *, where: str) -> None:
    """Raise `TensorInvalidError` where ``array`` is not what the model declares as ``spec``.

    ``symbols`` holds the sizes that symbolic dimensions got so far in this request.
    """
    if datatype != spec.datatype:
        raise TensorInvalidError(f"input {spec.name} takes datatype {spec.datatype}", where=where)
    if spec.shape is None:
        return
    fits = len(array.shape) == len(spec.shape)
    for size, declared in zip(array.shape, spec.shape, strict=False):
        wanted = symbols.setdefault(declared, size) if isinstance(declared, str) else declared
        fits = fits and wanted in (None, size)
    if not fits:
        raise TensorInvalidError(
            f"input {spec.name} takes shape {spec.wire_shape()}, this one has {list(array.shape)}",
            where=where,
            fix="Dimensions of -1 may vary, but one that has a name in the model has one size everywhere.",
        )


def write_data(array: Array) -> list[Any]:
    """Return the elements in row-major order as JSON-able values; NaN and infinities become null."""
    flat: list[Any] = array.ravel().tolist()
    return flat


def stack_maps(maps: Sequence[Mapping[Any, float]]) -> tuple[list[Any], Array]:
    """Turn a ZipMap's output, one dict a row, into its labels and an array ``[rows, labels]``.

    Raises `ValueError` where the rows have different labels.
    """
    labels = list(maps[0]) if maps else []
    if any(list(row) != labels for row in maps):
        raise ValueError("the rows have different labels")
    values = [list(row.values()) for row in maps]
    return labels, np.array(values, dtype=np.float32).reshape(len(maps), len(labels))


@lru_cache(maxsize=len(DATATYPES) * MAX_RANK)
def _decoder(datatype: str, depth: int) -> msgspec.json.Decoder[Any]:
    kind = DATATYPES[datatype][1]
    for _ in range(depth):
        kind = GenericAlias(list, (kind,))
    return msgspec.json.Decoder(cast(type[Any], kind))
