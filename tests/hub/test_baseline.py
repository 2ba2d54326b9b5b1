"""Baselines: the figures against numpy's own, data in pieces, missing values, and what is no baseline."""

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_hub.sdk import SdkError, baseline
from cloud_hub.sdk import baseline as compute
from contract.baseline import InvalidBaselineError, read_baseline

RNG = np.random.default_rng(7)


def test_the_figures_are_numpys() -> None:
    data = np.column_stack([RNG.normal(5, 2, 200_000), RNG.exponential(1, 200_000)])
    found = baseline(data, ["normal", "exponential"], bins=10)
    assert found.rows == 200_000
    for index, feature in enumerate(found.features):
        column = data[:, index]
        assert (feature.count, feature.missing) == (200_000, 0)
        assert feature.mean == pytest.approx(column.mean())
        assert feature.std == pytest.approx(column.std())
        assert (feature.min, feature.max) == (column.min(), column.max())
        for quantile in feature.quantiles:
            assert quantile.value == pytest.approx(np.quantile(column, quantile.p))
        assert list(feature.counts) == np.histogram(column, feature.edges)[0].tolist()
        assert len(feature.counts) == 10


def test_few_different_values_have_a_bin_each() -> None:
    data = np.array([0, 0, 1, 1, 1, 7])
    (feature,) = baseline(data).features
    assert (feature.name, feature.counts) == ("f0", (2, 3, 1))
    (constant,) = baseline(np.full(5, 3.0)).features
    assert (constant.edges, constant.counts, constant.std) == ((3.0, 3.0), (5,), 0.0)
    (flags,) = baseline(np.array([True, False, True])).features
    assert flags.counts == (1, 2)


def test_what_is_no_number_is_missing() -> None:
    data = np.array([[1.0, np.nan], [np.inf, np.nan], [3.0, np.nan]])
    some, none = baseline(data).features
    assert (some.count, some.missing, some.mean) == (2, 1, 2.0)
    assert (none.count, none.missing, none.mean, none.edges, none.counts) == (0, 3, None, (), ())
    assert read_baseline(msgspec.json.encode(baseline(data))) == baseline(data)


def test_a_file_larger_than_one_piece_is_read_in_place(tmp_path: Path) -> None:
    data = np.memmap(tmp_path / "data", np.float32, "w+", shape=(150_001, 2))
    data[:, 0] = np.arange(150_001)
    found = baseline(data, ["a", "b"])
    assert found.features[0].mean == 75_000.0
    assert sum(found.features[0].counts) == 150_001


def test_beyond_the_sample_counts_are_still_of_all() -> None:
    data = np.arange(2_500_001, dtype=np.float64)
    (feature,) = baseline(data).features
    assert sum(feature.counts) == feature.count == 2_500_001
    assert (feature.min, feature.max) == (0.0, 2_500_000.0)
    assert feature.quantiles[5].value == pytest.approx(1_250_000, rel=1e-3)


@given(st.lists(st.floats(-1e100, 1e100) | st.just(math.nan), min_size=1, max_size=200), st.integers(1, 30))
def test_every_baseline_is_one(values: list[float], bins: int) -> None:
    found = compute(np.array(values), bins=bins)
    assert read_baseline(msgspec.json.encode(found)) == found


@pytest.mark.parametrize(
    ("data", "names"),
    [(np.zeros((2, 2, 2)), None), (np.array(["a"]), None), (np.zeros((2, 2)), ["a"]),
     (np.zeros((2, 2)), ["a", "a"]), (np.zeros((2, 0)), None), (np.zeros(3, complex), None)],
)  # fmt: skip
def test_what_is_no_table_of_numbers_is_refused(data: Any, names: list[str] | None) -> None:
    with pytest.raises(SdkError):
        baseline(data, names)


@pytest.mark.parametrize(
    "change",
    [{"count": 9}, {"mean": None}, {"counts": [1]}, {"edges": [5.0, 1.0]}, {"extra": 1}, {"name": ""},
     {"quantiles": [{"p": 2, "value": 1}]}, {"quantiles": [{"p": 0.5, "value": 1}, {"p": 0.1, "value": 0}]}],
)  # fmt: skip
def test_figures_that_contradict_each_other_are_refused(change: dict[str, Any]) -> None:
    good = msgspec.json.decode(msgspec.json.encode(baseline(np.arange(10.0))))
    assert read_baseline(msgspec.json.encode(good)).rows == 10
    good["features"][0] |= change
    with pytest.raises(InvalidBaselineError):
        read_baseline(msgspec.json.encode(good))
    with pytest.raises(InvalidBaselineError):
        read_baseline(b"x" * 3_000_000)
