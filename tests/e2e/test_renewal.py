"""A device renews its certificate on real parts: the daemon, the hub, the broker; its clock runs ahead.

By `make soak`: a daemon asks no sooner than a minute after its start.
"""

import time

import pytest

from simulators.demo.stage import Device
from simulators.wrong_clock import WrongClock, why_not
from tests.e2e.conftest import RollOut, World
from tests.e2e.test_wrong_clock import DAY_S, EARLIER_US, clock, hand_over, scores, stored
from tests.e2e.waiting import wait_until

__all__ = ["clock"]
RENEWED = "the device has a new certificate"
NONE_MORE_S = 300.0

pytestmark = [pytest.mark.soak, pytest.mark.skipif(bool(why_not()), reason=why_not())]


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("driver", ["process"])
def test_a_renewed_device_connects_by_the_new_one_and_no_clock_makes_it_storm(
    world: World, device: Device, roll_out: RollOut, clock: WrongClock
) -> None:
    roll_out("digits:1")
    hand_over(device, 1, EARLIER_US)
    device.daemon.stop()
    device.daemon.before = clock.words
    clock.set_ahead(25 * DAY_S)
    device.daemon.start("connected to the hub")
    connected = device.daemon.log.count("connected to the hub")
    wait_until(lambda: RENEWED in device.daemon.log, "it renews", within_s=180)
    wait_until(lambda: device.daemon.log.count("connected to the hub") > connected, "it connects anew")
    hand_over(device, 2, EARLIER_US)
    assert scores(world, device)
    ends_at = time.monotonic() + NONE_MORE_S
    while time.monotonic() < ends_at:
        for ahead_s in (90 * DAY_S, -DAY_S, 0.0):  # jumps while it could renew
            clock.set_ahead(ahead_s)
            time.sleep(10)
    clock.set_ahead(0)
    wait_until(lambda: len(stored(world, device)) >= 2, "the samples are stored")
    assert [number for number, _ in stored(world, device)] == [1, 2]
    assert device.daemon.log.count(RENEWED) == 1
    assert "was not renewed" not in device.daemon.log
    device.daemon.stop()
    device.daemon.start("connected to the hub")
