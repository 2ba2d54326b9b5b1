"""Where content of the new tar stood in the old one, however it was shifted: by anchors that content chooses.

A place is an anchor where a hash of its 8 bytes has 10 zero bits: one in 1,024, wherever the content stands.
Its key is made of 16 bytes. Keys that are in the old tar once say where a window of the new one came from.
"""

from collections.abc import Iterator
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

READ_BYTES: Final = 8 << 20
KEY_BYTES: Final = 16
BIN_BYTES: Final = 1 << 20
CHOOSER: Final = np.uint64(0x9E3779B97F4A7C15)
MIXER: Final = np.uint64(0xC2B2AE3D27D4EB4F)
CHOSEN_BITS: Final = np.uint64(54)

Keys = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]


def anchors(data: bytes) -> tuple[Keys, Places]:
    """Return the keys and offsets of all anchors in ``data``."""
    keys, places = [], []
    for shift in range(8):
        count = (len(data) - shift) // 8
        if count < 2:
            continue
        words = np.frombuffer(data, "<u8", count, shift)
        # Zeros are everywhere and say nothing.
        chosen = np.flatnonzero(((words[:-1] * CHOOSER) >> CHOSEN_BITS == 0) & (words[:-1] != 0))
        keys.append(words[chosen] * MIXER ^ words[chosen + 1] * CHOOSER)
        places.append(chosen * 8 + shift)
    if not keys:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    return np.concatenate(keys), np.concatenate(places)


class AnchorIndex:
    """The anchors of an old tar; takes about 16 bytes for each 1,024 of it."""

    def __init__(self, old: BinaryIO, size_bytes: int) -> None:
        found = list(_all(old, size_bytes))
        keys = np.concatenate([each[0] for each in found]) if found else np.empty(0, np.uint64)
        places = np.concatenate([each[1] for each in found]) if found else np.empty(0, np.int64)
        self._keys, first, counts = np.unique(keys, return_index=True, return_counts=True)
        self._places = places[first]
        self._once = counts == 1
        self._size_bytes = size_bytes

    def best_window(self, new: bytes, most_bytes: int) -> int | None:
        """Return where the ``most_bytes`` of the old tar begin that have most of ``new``; None: unknown."""
        if self._size_bytes <= most_bytes:
            return 0
        keys, _ = anchors(new)
        if not len(keys) or not len(self._keys):
            return None
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        places = self._places[at[(self._keys[at] == keys) & self._once[at]]]
        if not len(places):
            return None
        bins = np.bincount(places // BIN_BYTES, minlength=self._size_bytes // BIN_BYTES + 1)
        sums: Any = np.convolve(bins, np.ones(most_bytes // BIN_BYTES, np.int64))[
            most_bytes // BIN_BYTES - 1 :
        ]
        # Of equal ones the middle: what is near, and has no anchor, is then within.
        best = np.flatnonzero(sums == sums.max())
        start = int(best[len(best) // 2]) * BIN_BYTES
        return min(start, self._size_bytes - most_bytes)


def _all(old: BinaryIO, size_bytes: int) -> Iterator[tuple[Keys, Places]]:
    for at in range(0, size_bytes, READ_BYTES):
        old.seek(at)
        keys, places = anchors(old.read(READ_BYTES + KEY_BYTES))
        inside = places < READ_BYTES
        yield keys[inside], places[inside] + at
