"""Series of measured figures: taken in turn, compared within a round, told as median and spread.

The machine is shared: what it does beside changes from minute to minute. So the ways that are compared
run one after the other in each round, and a ratio is always one of two figures of the same round.
"""

import os
import platform
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

Figure = TypeVar("Figure")


@dataclass(frozen=True)
class Spread:
    """The middle of some figures, and how far they lie apart."""

    median: float
    smallest: float
    largest: float

    def told(self, digits: int) -> str:
        """Return a table's cell: the median, and in brackets the smallest and the largest."""
        return f"{self.median:,.{digits}f} ({self.smallest:,.{digits}f}-{self.largest:,.{digits}f})"


def spread(values: Sequence[float]) -> Spread:
    """Return the spread of at least one figure."""
    return Spread(statistics.median(values), min(values), max(values))


def ratios(values: Sequence[float], to: Sequence[float]) -> Spread:
    """Return the spread of ``values`` divided by ``to``, each by the one of the same round."""
    return spread([one / other for one, other in zip(values, to, strict=True)])


def in_turn(ways: Mapping[str, Callable[[], Figure]], rounds: int) -> dict[str, list[Figure]]:
    """Do every way once a round, each round beginning with another one; return the figures by way."""
    names = list(ways)
    found: dict[str, list[Figure]] = {name: [] for name in names}
    for position in range(rounds):
        first = position % len(names)
        for name in names[first:] + names[:first]:
            found[name].append(ways[name]())
    return found


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least ``share`` (0 to 1) of the sorted values do not exceed."""
    if not sorted_values:
        raise ValueError("no values")
    rank = -(-len(sorted_values) * round(share * 1000) // 1000)  # rounded up, in whole numbers
    return sorted_values[max(rank, 1) - 1]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]


def machine() -> str:
    """Return what the figures depend on and a reader cannot see: processors, system, Python."""
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    return f"{os.cpu_count()} processors, {system}, Python {platform.python_version()}"
