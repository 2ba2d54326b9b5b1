"""FAULTS 16 in ten minutes, by `make soak`: four modules, a part restarted each minute, nothing lost or left.

The agent itself is watched all the time, so it is the hub (with its broker) that is killed, a minute after
each start; the agent is killed once when the time is over, and the last samples come from the one that took
over. What the largest backlog brings to memory is there after the first kills: that is not looked at.
"""

import threading
import time
from collections.abc import Iterator

import pytest

from benchmarks.watching import MIB, Look, growing, parts, slope, told, watch
from simulators.demo.stage import Device
from simulators.sensors.digits import DigitsSensor
from tests.e2e.conftest import World
from tests.e2e.waiting import wait_until

MODULES = ("scorer", "second", "third", "fourth")
RATE_HZ = 33.0
SOAK_S, PART_S, WARM_UP_S, LOOK_S = 750.0, 60.0, 150.0, 2.0
ARRIVE_S = 180.0


@pytest.fixture
def sensors(world: World, device: Device) -> Iterator[dict[str, DigitsSensor]]:
    """A sensor for each of four modules."""
    modules = "".join(f"    {name}:\n      image: digits:1\n" for name in MODULES)
    world.workspace.apply_rollout(
        "apiVersion: headland/v1\nkind: Rollout\nmetadata:\n  name: test\nspec:\n"
        f"  target:\n    devices: [{device.name}]\n  modules:\n{modules}"
    )
    wait_until(lambda: _running(world, device) == len(MODULES), "all modules run", within_s=180)
    ends = {m["name"]: m["endpoint"].removeprefix("unix:") for m in device.agent("status")["modules"]}
    images = world.digits.held_out_images
    found = {
        name: DigitsSensor(f"{device.name}-{name}", device.state_dir / ends[name], "digits", images, RATE_HZ)
        for name in MODULES
    }
    for sensor in found.values():
        sensor.start()
    yield found
    for sensor in found.values():
        sensor.stop()


def _running(world: World, device: Device) -> int:
    reported = world.workspace.device(device.name).reported or {"modules": []}
    return sum(module["state"] == "running" for module in reported["modules"])


def watched(world: World, device: Device) -> list[Look]:
    """Look at the agent while the hub is killed again and again."""
    over = threading.Event()

    def kill() -> None:
        while not over.wait(PART_S):
            world.stage.hub.kill()
            world.stage.hub.start("hub ready")

    killer = threading.Thread(target=kill, name="killer")
    killer.start()
    try:
        return watch(device.daemon.pid, device.state_dir, SOAK_S, LOOK_S)
    finally:
        over.set()
        killer.join()


def stored(world: World, device: Device) -> tuple[int, int]:
    """Return how many samples of a device are stored, and of how many requests."""
    ((count, distinct),) = world.workspace.query(
        f"SELECT count(*), count(DISTINCT body->>'request_id') FROM inference WHERE device = '{device.name}'",
        1,
    ).rows
    return int(count), int(distinct)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_ten_minutes_of_four_modules_and_restarts_lose_nothing_and_leave_nothing(
    world: World,
    device: Device,
    sensors: dict[str, DigitsSensor],
    capsys: pytest.CaptureFixture[str],
) -> None:
    looks = list(parts(watched(world, device), WARM_UP_S))
    device.daemon.kill()
    device.daemon.start("connected to the hub")
    time.sleep(2)
    tallies = [sensor.stop() for sensor in sensors.values()]
    sent, refused = sum(t.sent for t in tallies), [reason for t in tallies for reason in t.refused]
    wait_until(lambda: stored(world, device)[0] >= sent, "all samples are stored", within_s=ARRIVE_S)
    with capsys.disabled():
        print(
            f"\n{sent} requests in {SOAK_S:g} s: {len(refused)} refused, (stored, distinct): "
            f"{stored(world, device)}; the agent's RSS {looks[-1].rss_bytes / MIB:.1f} MiB, "
            f"{told(slope(looks, lambda one: one.rss_bytes))} MiB/h, {looks[-1].fds} descriptors"
        )
    assert refused == []
    assert stored(world, device) == (sent, sent)
    assert growing(looks) == []
