"""Formats with a header of their own that says what the file holds: safetensors and numpy's .npy."""

import ast
import json
import re
from typing import Any, BinaryIO, Final

from cloud_hub.models.inspection.errors import ModelDamagedError, ModelPickleError, ModelTooComplexError
from cloud_hub.models.inspection.limits import InspectionLimits

MAX_NPY_HEADER_BYTES = 10_000
OBJECT: Final = re.compile(r"[|<>=]?O\d*")
MAX_NAMES = 64


def check_safetensors(file: BinaryIO, size_bytes: int, limits: InspectionLimits) -> int:
    """Check the header against the file; return the number of tensors.

    As the format of safetensors says, they lie one behind another without holes.

    Raises `ModelDamagedError`, `ModelTooComplexError`.
    """
    length = int.from_bytes(file.read(8), "little")
    if length > limits.max_header_bytes:
        raise ModelTooComplexError(f"the header has more than {limits.max_header_bytes} bytes")
    if length + 8 > size_bytes:
        raise ModelDamagedError("the header is longer than the file")
    try:
        header = json.loads(file.read(length).decode(), object_pairs_hook=_once)
        places = sorted(
            tuple(tensor["data_offsets"]) for key, tensor in header.items() if key != "__metadata__"
        )
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError) as error:
        raise ModelDamagedError("the header is not as safetensors says") from error
    at = 0
    for place in places:
        if len(place) != 2 or not all(type(each) is int for each in place) or place[0] != at or place[1] < at:
            raise ModelDamagedError("tensors overlap or lie outside")
        at = place[1]
    if at != size_bytes - 8 - length:
        raise ModelDamagedError("tensors overlap or lie outside")
    return len(places)


def check_npy(head: bytes) -> None:
    """Refuse an array of Python objects, which is a pickle; raises `ModelPickleError`, `ModelDamagedError`.

    ``head`` is the start of a file in numpy's format (NEP 1).
    """
    wide = head[6:7] in {b"\x02", b"\x03"}
    start = 12 if wide else 10
    length = int.from_bytes(head[8:start], "little")
    text = head[start : start + length]
    if length > MAX_NPY_HEADER_BYTES or len(text) != length:
        raise ModelDamagedError("the header of an array is too long or cut off")
    try:
        header = ast.literal_eval(text.decode("latin-1"))
        described = header["descr"]
    except (ValueError, SyntaxError, RecursionError, TypeError, KeyError, MemoryError) as error:
        raise ModelDamagedError("the header of an array cannot be read") from error
    if _has_objects(described):
        raise ModelPickleError("an array holds pickled objects")


def _has_objects(described: Any) -> bool:  # noqa: ANN401  numpy's description of a type, of any shape
    if isinstance(described, str):
        return OBJECT.fullmatch(described) is not None or described.lower() == "object"
    if isinstance(described, (list, tuple)):
        return any(_has_objects(each) for each in described)
    return False


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found
