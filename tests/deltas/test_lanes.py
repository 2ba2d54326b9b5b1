"""Arithmetic in large integers against numpy's."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.delta.lanes import CHUNK_BYTES, WIDTHS, differences, interleaved, planes, restored

UNSIGNED: dict[int, Any] = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


def ordered(values: Any, bits: int) -> Any:
    """The integers at the places of floats, by numpy."""
    top = values.dtype.type(1 << (bits - 1))
    return np.where(values & top != 0, ~values, values | top)


def by_numpy(old: bytes, new: bytes, width: int, *, is_float: bool) -> bytes:
    """`differences`, by numpy."""
    kind, bits = UNSIGNED[width], 8 * width
    a, b = np.frombuffer(new, kind), np.frombuffer(old, kind)
    if is_float:
        a, b = ordered(a, bits), ordered(b, bits)
    least = (a - b).astype(kind)
    sign = np.where(least >> kind(bits - 1) != 0, ~kind(0), kind(0))
    return bytes(((least << kind(1)) ^ sign).astype(kind).tobytes())


@settings(max_examples=150, deadline=None)
@given(st.data(), st.sampled_from(WIDTHS), st.booleans())
def test_differences_are_numpys_and_lead_back(data: st.DataObject, width: int, is_float: bool) -> None:
    count = data.draw(st.integers(1, 40))
    raw = st.binary(min_size=count * width, max_size=count * width)
    old, new = data.draw(raw), data.draw(raw)
    found = differences(old, new, width, is_float=is_float)
    assert found == by_numpy(old, new, width, is_float=is_float)
    assert restored(old, found, width, is_float=is_float) == new
    assert interleaved(planes(found, width)) == found


@pytest.mark.parametrize("width", WIDTHS)
def test_chunks_and_what_is_left_of_them(width: int) -> None:
    random = np.random.default_rng(width)
    old, new = (random.bytes(CHUNK_BYTES + 24) for _ in range(2))
    found = differences(old, new, width, is_float=True)
    assert found == by_numpy(old, new, width, is_float=True)
    assert restored(old, found, width, is_float=True) == new


def test_floats_that_are_neighbours_are_one_apart() -> None:
    values = np.array([-1.5, -1e-40, 0.0, 1e-40, 3.0, 65504.0], np.float32)
    after = np.nextafter(values, np.float32(np.inf))
    found = np.frombuffer(differences(values.tobytes(), after.tobytes(), 4, is_float=True), np.uint32)
    assert found[[0, 3, 4, 5]].tolist() == [2, 2, 2, 2], "plus one, in zigzag"
    plain = np.frombuffer(differences(values.tobytes(), after.tobytes(), 4, is_float=False), np.uint32)
    assert plain.tolist() != found.tolist(), "as mere integers, negative ones run the other way"


def test_every_half_float_comes_back_bit_for_bit() -> None:
    every = np.arange(1 << 16, dtype=np.uint16)  # NaNs, infinities and both zeros among them
    other = np.random.default_rng(0).permutation(every)
    found = differences(every.tobytes(), other.tobytes(), 2, is_float=True)
    assert restored(every.tobytes(), found, 2, is_float=True) == other.tobytes()
