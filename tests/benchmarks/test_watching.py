"""The judge of a process over time sees each thing that grows, and nothing in one that does not."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.watching import MIB, Bounds, Look, growing, look, share, slope, watch

LOOKS, EACH_S = 240, 15.0
LEAKING = """
import sys, time
held = []
open(sys.argv[1], "w").write("started")
while True:
    held.append(bytearray(b"x" * 100_000))
    held.append(open(sys.argv[1]))
    time.sleep(0.02)
"""
STILL = """
import sys, time
open(sys.argv[1], "w").write("started")
time.sleep(600)
"""


def looks(**values: Callable[[float], float]) -> list[Look]:
    """Return an hour of looks at 30 MiB that waver by 200 KiB, with these values of the time in hours."""
    wavers = random.Random(1)
    found = []
    for number in range(LOOKS):
        hours = number * EACH_S / 3600
        rss = 30 * MIB + wavers.uniform(-1, 1) * 200 * 1024
        one = Look(number * EACH_S, 0, int(rss), 0, 12, 7, 0.0, 0.0, MIB)
        found.append(replace(one, **{name: int(value(hours)) for name, value in values.items()}))
    return found


def test_what_wavers_does_not_grow() -> None:
    assert growing(looks()) == []


def test_a_start_that_brought_memory_long_ago_is_not_growth() -> None:
    assert growing(looks(rss_bytes=lambda h: (20 + min(10, 1000 * h)) * MIB)[20:]) == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rss_bytes": lambda h: (30 + 2 * h) * MIB}, "memory grows by +2.00"),
        ({"disk_bytes": lambda h: 2 * h * MIB}, "disk grows by"),
        ({"fds": lambda h: 12 + int(4 * h)}, "descriptors: 12.5, then 14.5"),
        ({"threads": lambda h: 7 + int(2 * h)}, "threads: 7, then 8"),
        ({"rss_bytes": lambda h: (10 + 80 * (int(h * 20) % 2)) * MIB}, "is not known well enough"),
    ],
)
def test_the_judge_sees_what_grows(values: dict[str, Callable[[float], float]], words: str) -> None:
    (fault,) = growing(looks(**values))
    assert words in fault


def test_a_slope_and_its_error() -> None:
    found = slope(looks(rss_bytes=lambda h: (30 + 5 * h) * MIB), lambda each: each.rss_bytes)
    assert found.per_h == pytest.approx(5 * MIB, rel=1e-3)
    assert found.error_per_h < 0.01 * MIB
    assert slope(looks()[:12], lambda each: each.rss_bytes).error_per_h == float("inf")
    wavering = slope(looks(), lambda each: each.rss_bytes)
    assert abs(wavering.per_h) < wavering.error_per_h < MIB


@pytest.fixture
def process(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[int]:
    """A process that runs a source, once it has begun."""
    begun = tmp_path / "begun"
    with subprocess.Popen([sys.executable, "-I", "-c", request.param, begun]) as running:
        while not begun.exists():
            time.sleep(0.02)
        yield running.pid
        running.kill()


@pytest.mark.parametrize("process", [LEAKING], indirect=True)
def test_negative_control_a_process_that_leaks_is_seen(process: int, tmp_path: Path) -> None:
    faults = growing(watch(process, tmp_path, 2.0, 0.05), Bounds(error_bytes_per_h=1e12))
    assert [fault.split()[0] for fault in faults] == ["memory", "descriptors:"], faults


@pytest.mark.parametrize("process", [STILL], indirect=True)
def test_a_process_that_sleeps_is_well(process: int, tmp_path: Path) -> None:
    found = watch(process, tmp_path, 1.0, 0.02)
    # In a second a single page is much for an hour: the slope says nothing here.
    assert growing(found, Bounds(rss_bytes_per_h=1e12, error_bytes_per_h=1e12)) == []
    assert found[-1].rss_bytes - found[0].rss_bytes < MIB
    assert found[-1].pss_bytes <= found[-1].rss_bytes
    assert found[-1].private_bytes > 0
    assert found[-1].threads == 1


def test_the_share_of_a_processor_is_counted(tmp_path: Path) -> None:
    before = look(os.getpid(), tmp_path)
    began = time.process_time()
    while time.process_time() - began < 0.3:
        sum(range(10_000))
    after = look(os.getpid(), tmp_path)
    assert after.cpu_s - before.cpu_s == pytest.approx(time.process_time() - began, abs=0.1)
    assert share([before, after], children=False) > 0
