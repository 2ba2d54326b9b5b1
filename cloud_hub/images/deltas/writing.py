"""Writes deltas in the form that `contract.delta.container` reads."""

from typing import Final

from cloud_hub.models.inspection.protobuf import varint
from contract.delta.container import (
    FLOAT,
    MAGIC,
    Code,
    Coding,
    Copy,
    Header,
    Patch,
    Scaled,
    Step,
    Tensor,
)
from contract.encoding import encode

END: Final = bytes([Code.END])


def header_bytes(header: Header, magic: bytes = MAGIC) -> bytes:
    """Return the start of a delta; `SCALED_MAGIC` is for one that has steps `Scaled`."""
    text = encode(header)
    return magic + varint(len(text)) + text


def step_bytes(step: Step) -> bytes:
    """Return a step as it stands in a delta."""
    match step:
        case Copy():
            return _start(Code.COPY, step.size_bytes, step.old_at)
        case Patch():
            numbers = (step.size_bytes, step.old_at, step.old_bytes, len(step.payload))
            return _start(Code.PATCH, *numbers) + step.payload
        case Tensor():
            kind = step.width | (FLOAT if step.is_float else 0)
            parts = [_start(Code.TENSOR, step.size_bytes, step.old_at, kind)]
            return b"".join(parts + [_coded(*plane) for plane in step.planes])
        case Scaled():
            start = _start(Code.SCALED, step.size_bytes, step.old_at, step.block)
            return start + _coded(*step.scales) + _coded(*step.steps)


def _coded(coding: Coding, payload: bytes) -> bytes:
    return varint(coding) + varint(len(payload)) + payload


def _start(code: Code, *numbers: int) -> bytes:
    return bytes([code]) + b"".join(varint(number) for number in numbers)
