"""A sample's summary agrees with numpy and is always readable by the other end."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from contract.messages import Inference
from modules.serving.samples import (
    MAX_PREDICTION_BYTES,
    NO_INPUT,
    Origin,
    encode_sample,
    summarise_input,
    summarise_prediction,
)

ANY_ARRAY: Any = st.sampled_from([np.bool_, np.int8, np.uint64, np.float16, np.float32, np.float64]).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4))
)


@settings(max_examples=200, deadline=None)
@given(array=ANY_ARRAY)
def test_a_summary_can_always_be_read_and_is_numpys(array: Any) -> None:
    summary = summarise_input(array)
    sample = encode_sample(Origin("m", "d", "1", "i"), None, 5, summarise_prediction(array), summary)
    assert msgspec.json.decode(sample, type=Inference).input == summary
    values = array.astype(np.float64)
    if values.size and np.all(np.abs(values) < 1e100):
        expected = (values.mean(), values.std(), values.min(), values.max())
        scale = max(1.0, float(np.abs(values).max()))
        seen = (summary.mean, summary.std, summary.min, summary.max)
        assert seen == pytest.approx(expected, rel=1e-9, abs=1e-9 * scale)


def test_text_and_nothing_have_only_a_shape() -> None:
    for array in (np.array([["a", "b"]], dtype=object), np.zeros((0, 2), np.float32)):
        summary = summarise_input(array)
        assert summary == msgspec.structs.replace(NO_INPUT, shape=array.shape)


def test_a_prediction_is_a_scalar_for_one_value_and_bounded_for_many() -> None:
    cases: list[tuple[Any, Any]] = [
        (np.array([3]), 3),
        (np.array([[0.5]]), 0.5),
        (np.array(7), 7),
        (np.array([1, 2]), [1, 2]),
        (np.array([[0.5, 0.25]]), [0.5, 0.25]),
        (np.array(["a"], dtype=object), "a"),
        (np.arange(1000), list(range(128))),
        (np.array(["x" * MAX_PREDICTION_BYTES], dtype=object), None),
    ]
    for array, expected in cases:
        assert msgspec.json.decode(summarise_prediction(array)) == expected
