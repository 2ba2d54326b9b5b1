"""Rounded tensors: the device's arithmetic against numpy's, bit for bit, and what the maker finds of them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_hub.images.deltas.making import SCALED, TENSOR
from cloud_hub.images.deltas.scaling import BLOCK, Rounded, recovered, restored
from cloud_hub.images.deltas.scaling import rounded as steps_of
from contract.delta.container import MAGIC, SCALED_MAGIC
from contract.delta.scaled import INFINITE, stepped
from tests.deltas.layers import applied, delta_of, onnx_of, rounded, safetensors_of, tar_of, tuned, weights

ODD = np.array([0x80000000, 1, 0x80000001, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00001,
                0x00800000, 0x807FFFFF], np.uint32)  # fmt: skip


def by_device(old: Any, scales: Any, steps: Any, block: int = BLOCK) -> Any:
    """What the device makes, as bits."""
    made = stepped(old.tobytes(), scales.astype("<u2").tobytes(), steps.tobytes(), block)
    assert made is not None
    return np.frombuffer(made, np.uint32)


def same(first: Any, second: Any) -> bool:
    """Are these the same bits? One NaN is as good as another: no rounded tensor has any."""
    nan = (first & 0x7FFFFFFF) > 0x7F800000
    return bool(((first == second) | (nan & ((second & 0x7FFFFFFF) > 0x7F800000))).all())


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_hub_and_device_compute_the_same_bits(data: st.DataObject) -> None:
    """On any 32 bits: normal and denormal numbers, both zeros, infinities, NaN."""
    count = data.draw(st.integers(1, 40))
    bits = st.integers(0, 2**32 - 1) | st.sampled_from(ODD.tolist())
    old = np.array(data.draw(st.lists(bits, min_size=count, max_size=count)), np.uint32)
    steps = np.frombuffer(data.draw(st.binary(min_size=count, max_size=count)), np.int8)
    scales = np.array([data.draw(st.integers(0, INFINITE - 1))], np.uint16)
    wanted = restored(old.view(np.float32), Rounded(scales, steps)).view(np.uint32)
    assert same(by_device(old, scales, steps), wanted)


def numbers(count: int) -> tuple[Any, Any, Any]:
    """Return old elements, scales and steps at random."""
    random = np.random.default_rng(5)
    old = random.normal(0, 0.02, count).astype(np.float32)
    scales = (random.uniform(1e-9, 1e-4, -(-count // BLOCK)).astype(np.float32).view(np.uint32) >> 16).astype(
        np.uint16
    )
    return old, scales, random.integers(-128, 128, count).astype(np.int8)


def test_the_same_over_many_blocks_and_a_part_of_one() -> None:
    old, scales, steps = numbers(5 * BLOCK + 7)
    wanted = restored(old, Rounded(scales, steps)).view(np.uint32)
    assert (by_device(old, scales, steps) == wanted).all()


def test_another_rounding_would_be_seen() -> None:
    """The control: differences cut off towards zero, and scales of the wrong blocks, give other bits."""
    old, scales, steps = numbers(5 * BLOCK)
    wide = np.repeat((scales.astype(np.uint32) << np.uint32(16)).view(np.float32).astype(float), BLOCK)
    exact = old.astype(float) - wide * steps
    nearest = exact.astype(np.float32)
    cut = np.where(np.abs(nearest) > np.abs(exact), np.nextafter(nearest, np.float32(0)), nearest)
    made = by_device(old, scales, steps)
    assert same(made, nearest.view(np.uint32))
    assert not same(made, cut.view(np.uint32))
    assert not same(made, by_device(old, scales[::-1], steps))


def test_a_step_of_zero_keeps_every_bit() -> None:
    old = np.concatenate([ODD, np.array([0, 0x3F800000], np.uint32)])
    made = by_device(old, np.array([0x3F80], np.uint16), np.zeros(len(old), np.int8))
    assert (made == old).all()


@pytest.mark.parametrize("spread", [1e-3, 1e-5, 1e-7, 1e-8, 3e-9, 1e-40, 1e35])
def test_what_was_rounded_is_found_again(spread: float) -> None:
    random = np.random.default_rng(1)
    old = random.normal(0, 0.02, 40_007).astype(np.float32)
    old[:50] = 0
    moved = (old + random.normal(0, spread, len(old)) * (random.random(len(old)) < 0.7)).astype(np.float32)
    moved[BLOCK : 2 * BLOCK] = old[BLOCK : 2 * BLOCK]
    steps = steps_of(old, moved)
    made = restored(old, steps)
    found = recovered(old, made)
    assert found is not None
    assert (restored(old, found).view(np.uint32) == made.view(np.uint32)).all()
    error, largest = np.abs(made - moved).max(), np.abs(moved - old).max()
    assert error <= largest / 200 or largest < 16 * np.spacing(np.float32(0.08))


def test_what_was_not_rounded_is_not_taken_for_it() -> None:
    old, new = (weights(seed)["b"] for seed in (1, 2))
    made = rounded({"b": old}, {"b": new})["b"]
    assert recovered(old, made) is not None
    for at in (0, len(made) // 2, len(made) - 1):
        other = made.copy()
        other[at] = np.nextafter(other[at], np.float32(1))
        assert recovered(old, other) is None
    for wrong in (np.nan, np.inf):
        other = made.copy()
        other[5] = wrong
        assert recovered(old, other) is None


@pytest.mark.parametrize("kind", ["m.onnx", "m.safetensors"])
def test_the_maker_finds_rounded_tensors_and_only_those(kind: str) -> None:
    write: Any = onnx_of if kind == "m.onnx" else safetensors_of
    before = weights(1)
    after = rounded(before, tuned(before))
    old, new, exact = (tar_of({kind: write(each)}) for each in (before, after, tuned(before)))
    delta, made = delta_of(old, new)
    plain, mere = delta_of(old, new, with_scaled=False)
    assert (made.kind, mere.kind, delta_of(old, exact)[1].kind) == (SCALED, TENSOR, TENSOR)
    assert (delta[:8], plain[:8]) == (SCALED_MAGIC, MAGIC)
    assert applied(delta, old) == applied(plain, old) == new
    assert len(delta) < 0.6 * len(plain)
    after["a"][0, 0] = np.nextafter(after["a"][0, 0], np.float32(1))
    other = tar_of({kind: write(after)})
    delta, made = delta_of(old, other)
    assert (made.scaled_bytes, made.tensor_bytes) == (after["b"].nbytes, after["a"].nbytes)
    assert applied(delta, old) == other
