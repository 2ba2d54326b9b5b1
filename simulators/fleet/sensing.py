"""Sensors of simulated devices: a real series, replayed from somewhere in it, at a rate of their own."""

import csv
import gzip
from collections.abc import Callable
from datetime import datetime
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Annotated, Final

import msgspec

from agent.outbox.port import Outbox
from simulators.fleet.timers import Timers

WHITE: Final = 16


class Sensor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``stream`` gets a sample every ``period_s`` seconds."""

    stream: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    period_s: Annotated[float, msgspec.Meta(gt=0)] = 10.0


@cache
def brightness() -> tuple[float, ...]:
    """Return how bright 1,797 scanned digits are, 0 to 1, in the order in which they were scanned.

    UCI, "Optical Recognition of Handwritten Digits", as it lies in scikit-learn; which is not imported: it
    would take more memory than a hundred devices.
    """
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("sensors replay a series of scikit-learn, which is not installed")
    file = Path(package.origin).parent / "datasets/data/digits.csv.gz"
    with gzip.open(file, "rt") as lines:
        return tuple(
            round(sum(float(cell) for cell in row[:-1]) / (WHITE * (len(row) - 1)), 4)
            for row in csv.reader(lines)
        )


class Sensing:
    """One device's sensor at work: puts samples into its ``outbox``, and calls ``stored`` after each."""

    def __init__(
        self,
        sensor: Sensor,
        outbox: Outbox,
        timers: Timers,
        chance: Random,
        *,
        now: Callable[[], datetime],
        stored: Callable[[], None],
    ) -> None:
        self._sensor, self._outbox, self._timers = sensor, outbox, timers
        self._now, self._stored = now, stored
        self._begin = chance.randrange(len(brightness()))
        self._first_s = chance.uniform(0, sensor.period_s)
        self._stopped = False
        self.taken = 0

    def start(self) -> None:
        """Take the first sample within a period."""
        self._timers.later(self._first_s, self._take)

    def stop(self) -> None:
        """Take none any more."""
        self._stopped = True

    def _take(self) -> None:
        if self._stopped:
            return
        series = brightness()
        value = series[(self._begin + self.taken) % len(series)]
        self.taken += 1
        body = msgspec.Raw(msgspec.json.encode({"n": self.taken, "brightness": value}))
        at_us = max(0, int(self._now().timestamp() * 1e6))
        self._outbox.put(self._sensor.stream, self._sensor.stream, self.taken, (at_us,), (body,))
        self._stored()
        self._timers.later(self._sensor.period_s, self._take)
