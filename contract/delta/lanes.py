"""Arithmetic on many small numbers at once, inside one large Python integer ("SIMD within a register").

A chunk of a tensor is one integer; each of its elements is a lane of it. Masks keep a lane's carry from its
neighbour (Warren, Hacker's Delight, 2-18), and all steps are shifts, additions and logic, so time is linear.
Elements are little-endian. A float becomes the integer at its place in the order of all floats, so that
neighbours in value are neighbours as integers; NaNs and both zeros keep their bits.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

WIDTHS: Final = (1, 2, 4, 8)
CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class _Masks:
    """Constants of one width and count: 1 in each lane, the top bit of each, all bits."""

    ones: int
    tops: int
    full: int


@lru_cache(maxsize=4)
def _masks(width: int, size_bytes: int) -> _Masks:
    count = size_bytes // width
    ones = int.from_bytes((1).to_bytes(width, "little") * count, "little")
    return _Masks(ones, ones << (8 * width - 1), (1 << 8 * size_bytes) - 1)


def differences(old: bytes, new: bytes, width: int, *, is_float: bool) -> bytes:
    """Return ``new - old`` by elements of ``width`` bytes, as integers in zigzag: small where they are near.

    Both have the same whole number of elements.
    """
    return b"".join(
        _difference(old[at : at + CHUNK_BYTES], new[at : at + CHUNK_BYTES], width, is_float=is_float)
        for at in range(0, len(new), CHUNK_BYTES)
    )


def restored(old: bytes, found: bytes, width: int, *, is_float: bool) -> bytes:
    """Return the new elements of which ``found`` are the `differences` to ``old``."""
    return b"".join(
        _sum(old[at : at + CHUNK_BYTES], found[at : at + CHUNK_BYTES], width, is_float=is_float)
        for at in range(0, len(found), CHUNK_BYTES)
    )


def planes(elements: bytes, width: int) -> list[bytes]:
    """Return the first bytes of all elements, then the second bytes, and so on."""
    return [elements[place::width] for place in range(width)]


def interleaved(parts: list[bytes]) -> bytes:
    """Return the elements of which ``parts`` are the `planes`."""
    if len(parts) == 1:
        return parts[0]
    elements = bytearray(len(parts) * len(parts[0]))
    for place, part in enumerate(parts):
        elements[place :: len(parts)] = part
    return bytes(elements)


def _difference(old: bytes, new: bytes, width: int, *, is_float: bool) -> bytes:
    masks, bits = _masks(width, len(new)), 8 * width
    a, b = int.from_bytes(new, "little"), int.from_bytes(old, "little")
    if is_float:
        a, b = _ordered(a, masks, bits), _ordered(b, masks, bits)
    low = masks.full ^ masks.tops
    least = ((a | masks.tops) - (b & low)) ^ ((a ^ b ^ masks.full) & masks.tops)
    negative = (least >> (bits - 1)) & masks.ones
    zigzag = ((least & low) << 1) ^ ((negative << bits) - negative)
    return zigzag.to_bytes(len(new), "little")


def _sum(old: bytes, found: bytes, width: int, *, is_float: bool) -> bytes:
    masks, bits = _masks(width, len(found)), 8 * width
    zigzag, b = int.from_bytes(found, "little"), int.from_bytes(old, "little")
    if is_float:
        b = _ordered(b, masks, bits)
    low = masks.full ^ masks.tops
    negative = zigzag & masks.ones
    least = ((zigzag >> 1) & low) ^ ((negative << bits) - negative)
    a = ((least & low) + (b & low)) ^ ((least ^ b) & masks.tops)
    if is_float:
        a = _as_float(a, masks, bits)
    return a.to_bytes(len(found), "little")


def _ordered(value: int, masks: _Masks, bits: int) -> int:
    """Turn floats into integers of the same order: a negative one is inverted, another gets the top bit."""
    negative = (value >> (bits - 1)) & masks.ones
    return value ^ (((negative << bits) - negative) | masks.tops)


def _as_float(value: int, masks: _Masks, bits: int) -> int:
    """Undo `_ordered`."""
    positive = (value >> (bits - 1)) & masks.ones
    return value ^ (((positive << bits) - positive) ^ masks.full | masks.tops)
