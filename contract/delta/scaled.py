"""Arithmetic of rounded updates: ``float32(old - scale * step)``, on Python's own floats (docs/wire.md).

A tensor of float32 is cut into blocks; each has one scale, a bfloat16 (the upper half of a float32), and each
element a step, a signed byte. A product has at most 15 significant bits, so it is exact in binary64; the
difference is rounded to binary64, and that to float32, both to nearest, ties to even (IEEE 754). It is a
difference and no sum because ``x - 0`` is x for both zeros: where the step is 0, an element keeps its bits.
"""

import sys
from array import array
from operator import sub
from typing import Final

WIDTH: Final = 4
SCALE_BYTES: Final = 2
INFINITE: Final = 0x7F80


def scale_of(code: int) -> float | None:
    """Return the number whose upper half as a float32 is ``code``; None: it is negative or not finite."""
    if code >= INFINITE:
        return None
    return _floats((code << 16).to_bytes(WIDTH, "little"))[0]


def stepped(old: bytes, scales: bytes, steps: bytes, block: int) -> bytes | None:
    """Return the new elements of ``old``: ``scales`` are 2 bytes for each ``block`` of them, little-endian.

    ``steps`` are 1 byte for each element. None: a scale is negative or not finite.
    """
    values, moves = _floats(old), array("b", steps)
    made = array("f")
    for number, at in enumerate(range(0, len(values), block)):
        code = int.from_bytes(scales[SCALE_BYTES * number : SCALE_BYTES * number + SCALE_BYTES], "little")
        scale = scale_of(code)
        if scale is None:
            return None
        made.extend(map(sub, values[at : at + block], map(scale.__mul__, moves[at : at + block])))
    return _little(made).tobytes()


def _floats(data: bytes) -> "array[float]":
    return _little(array("f", data))


def _little(values: "array[float]") -> "array[float]":
    """Turn the bytes of elements round where the machine's are not little-endian."""
    if sys.byteorder == "big":
        values.byteswap()
    return values
