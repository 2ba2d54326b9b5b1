"""Longer runs, by `make soak`: updates in a row under load; the agent killed at a random moment of each."""

import random
import time
from functools import partial
from itertools import pairwise

import pytest

from simulators.demo.stage import Device
from simulators.sensors.digits import DigitsSensor
from tests.e2e.conftest import RollOut, World
from tests.e2e.test_update import apply, judge, runs, sensor
from tests.e2e.waiting import wait_until

__all__ = ["sensor"]

UPDATES = 12
UPDATES_IN_A_ROW = 50
LONGEST_WAIT_S = 4.0


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_updates_with_a_kill_at_a_random_moment_of_each_lose_and_refuse_nothing(
    world: World, device: Device, sensor: DigitsSensor, seed: int
) -> None:
    moments = random.Random(seed)
    for number in range(UPDATES):
        image = "digits:2" if number % 2 == 0 else "digits:1"
        apply(world, device, image)
        time.sleep(moments.uniform(0, LONGEST_WAIT_S))
        device.daemon.kill()
        device.daemon.start("connected to the hub")
        wait_until(partial(runs, world, image), f"update {number}: the device runs {image}")
    time.sleep(0.5)
    samples = judge(world, device, sensor.stop())
    assert {version for _, version in samples} == {"1", "2"}


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_fifty_updates_in_a_row_under_load_refuse_and_lose_nothing(
    world: World, device: Device, sensor: DigitsSensor, roll_out: RollOut, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(UPDATES_IN_A_ROW):
        roll_out("digits:2" if number % 2 == 0 else "digits:1")
    time.sleep(0.5)
    tally = sensor.stop()
    versions = [version for _, version in judge(world, device, tally)]
    changes = sum(before != after for before, after in pairwise(versions))
    assert changes >= UPDATES_IN_A_ROW, "not every update served"
    with capsys.disabled():
        print(
            f"\n{UPDATES_IN_A_ROW} updates in a row, {changes} changes of the version that answered: "
            f"{tally.sent} requests sent, {tally.answered} answered, {len(tally.refused)} refused, "
            f"{tally.sent - len(versions)} lost"
        )
