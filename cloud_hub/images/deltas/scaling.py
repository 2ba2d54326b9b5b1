"""Rounding the difference of two tensors to 8 bits, and finding it again in what came of it. Pure.

``new = float32(old - scale * step)`` as in `contract.delta.scaled`, here in numpy: bit for bit the same, for
the product is exact in binary64 and both roundings are IEEE 754's. Scales have 8 significant bits, so that
they can be found again from the elements alone: the largest difference of a block is 127 steps.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

# Elements with one scale. Of the ResNet-18 of `make bench-updates` after Adam, blocks of 64, 256, 1,024 and
# 65,536 gave updates of 24.5, 23.9, 23.4 and 22.3 % of the weights, and largest output changes of 0.0038,
# 0.0040, 0.0050 and 0.0051. It divides the elements of a piece of a tensor in a delta, so that blocks begin
# where pieces do.
BLOCK: Final = 256
BITS: Final = 8
MOST: Final = 127
# Below so many units in the last place of a block's largest weight, its difference is left out: float32
# itself rounds it too coarsely for the scale to be found again.
LEAST_ULPS: Final = 8
# How far from its place, in units of its last bit, a scale is looked for.
SEARCH: Final = 33
PROBE_BLOCKS: Final = 64

Floats = npt.NDArray[np.float32]
Wide = npt.NDArray[np.float64]
Codes = npt.NDArray[np.uint16]
Steps = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Rounded:
    """Scales, as the upper halves of float32, one for each `BLOCK`; and a step for each element."""

    scales: Codes
    steps: Steps


def rounded(old: Floats, new: Floats) -> Rounded:
    """Return the steps nearest to the difference of two flat, finite tensors of one size."""
    before, after = _blocks(old), _blocks(new)
    differences = _difference(before, after)
    largest = np.abs(differences).max(axis=1)
    weights = np.maximum(np.abs(before).max(axis=1), np.abs(after).max(axis=1))
    codes = _nearest_codes(largest / MOST)
    codes[largest < LEAST_ULPS * np.spacing(weights)] = 0
    return Rounded(codes, _steps(differences, codes).reshape(-1)[: len(old)])


def restored(old: Floats, found: Rounded) -> Floats:
    """Return the elements that are those steps away from ``old``."""
    steps = np.pad(found.steps, (0, -len(old) % BLOCK)).reshape(-1, BLOCK)
    return _restored(_blocks(old), found.scales, steps).reshape(-1)[: len(old)]


def recovered(old: Floats, new: Floats) -> Rounded | None:
    """Return what ``new`` was made of from ``old``, bit for bit; None: it was not made so, or is not finite.

    It costs little where the first blocks are not.
    """
    with np.errstate(all="ignore"):
        probe = PROBE_BLOCKS * BLOCK
        if _recovered(old[:probe], new[:probe]) is None:
            return None
        return _recovered(old, new)


def _recovered(old: Floats, new: Floats) -> Rounded | None:
    before, after = _blocks(old), _blocks(new)
    differences = _difference(before, after)
    largest = np.abs(differences).max(axis=1)
    if not np.isfinite(largest).all():
        return None
    first = _nearest_codes(largest / MOST)
    codes, steps = first.copy(), _steps(differences, first)
    wrong = np.flatnonzero(_unlike(before, after, codes, steps))
    for away in range(1, SEARCH):
        for sign in (1, -1):
            if not len(wrong):
                break
            tried = (first[wrong].astype(np.int32) + sign * away).clip(0, 0x7F7F).astype(np.uint16)
            moves = _steps(differences[wrong], tried)
            right = ~_unlike(before[wrong], after[wrong], tried, moves)
            codes[wrong[right]], steps[wrong[right]] = tried[right], moves[right]
            wrong = wrong[~right]
    return None if len(wrong) else Rounded(codes, steps.reshape(-1)[: len(old)])


def _unlike(before: Floats, after: Floats, codes: Codes, steps: Steps) -> npt.NDArray[np.bool_]:
    """Return for each block whether the steps lead elsewhere, by bits: zeros have two signs."""
    made = _restored(before, codes, steps)
    unlike: npt.NDArray[np.bool_] = (made.view(np.uint32) != after.view(np.uint32)).any(axis=1)
    return unlike


def _restored(before: Floats, codes: Codes, steps: Steps) -> Floats:
    moves: Wide = _scales(codes)[:, None] * steps.astype(np.float64)
    with np.errstate(all="ignore"):  # beyond float32 lie infinities, on the device too
        return (before.astype(np.float64) - moves).astype(np.float32)


def _steps(differences: Wide, codes: Codes) -> Steps:
    scales = _scales(codes)[:, None]
    steps = np.rint(np.divide(differences, scales, out=np.zeros_like(differences), where=scales != 0))
    return steps.clip(-MOST, MOST).astype(np.int8)


def _difference(before: Floats, after: Floats) -> Wide:
    return before.astype(np.float64) - after.astype(np.float64)


def _nearest_codes(scales: Wide) -> Codes:
    """Return the upper halves of the nearest numbers that have no lower one."""
    bits = scales.astype(np.float32).view(np.uint32).astype(np.uint64)
    codes: Codes = ((bits + 0x8000) >> 16).clip(0, 0x7F7F).astype(np.uint16)
    return codes


def _scales(codes: Codes) -> Wide:
    return (codes.astype(np.uint32) << np.uint32(16)).view(np.float32).astype(np.float64)


def _blocks(flat: Floats) -> Floats:
    return np.pad(flat, (0, -len(flat) % BLOCK)).reshape(-1, BLOCK)
