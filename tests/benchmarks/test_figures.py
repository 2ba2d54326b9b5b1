"""Figures: the arithmetic of the tables, and the order of the measuring."""

from functools import partial

import pytest

from benchmarks.figures import in_turn, percentile, ratios, spread, table


def test_a_spread_is_told_with_its_ends() -> None:
    assert spread([3.0, 1.0, 2.0, 10.0]).told(1) == "2.5 (1.0-10.0)"
    assert spread([1234.0]).told(0) == "1,234 (1,234-1,234)"


def test_a_ratio_is_of_one_round() -> None:
    # The machine was ten times as slow in the second round; the ratio is the same.
    told = ratios([100.0, 10.0, 100.0], [50.0, 5.0, 50.0])
    assert (told.median, told.smallest, told.largest) == (2.0, 2.0, 2.0)
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


def test_every_way_is_taken_once_a_round_and_none_is_always_first() -> None:
    order: list[str] = []

    def way(name: str) -> int:
        order.append(name)
        return len(order)

    found = in_turn({name: partial(way, name) for name in "abc"}, 3)
    assert "".join(order) == "abcbcacab"
    assert found == {"a": [1, 6, 8], "b": [2, 4, 9], "c": [3, 5, 7]}


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 5), (0.51, 6), (0.99, 10), (1.0, 10)])
def test_a_percentile_is_one_of_the_values(share: float, value: int) -> None:
    assert percentile(list(range(1, 11)), share) == value


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_a_table_is_markdown() -> None:
    assert table(["way", "MB/s"], [["cp", "7"]]) == ["| way | MB/s |", "| --- | --- |", "| cp | 7 |"]
