"""Rollouts in waves over real agents: a bad release stops in its first wave, and who was away misses it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from simulators.demo.stage import Device, StageError
from simulators.sensors.digits import DigitsSensor
from tests.e2e.conftest import World
from tests.e2e.waiting import wait_until

Fleet = list[Device]


@pytest.fixture(scope="module")
def fleet(world: World) -> Iterator[Fleet]:
    """Three devices that run digits:1."""
    devices = [world.stage.enrol_device(f"wave-{number}", "process") for number in (1, 2, 3)]
    apply(world, devices, "digits:1", "")
    wait_until(lambda: states(world) == ["running"] * 3, "all run it")
    yield devices
    for device in devices:
        device.daemon.stop()
        device.agent("down")


def apply(world: World, devices: Fleet, image: str, strategy: str) -> None:
    names = ", ".join(device.name for device in devices)
    more = f"  strategy: {{{strategy}}}\n" if strategy else ""
    world.workspace.apply_rollout(
        f"apiVersion: headland/v1\nkind: Rollout\nmetadata: {{name: waves}}\nspec:\n{more}"
        f"  target: {{devices: [{names}]}}\n"
        f"  modules: {{scorer: {{image: '{image}', readyTimeoutSeconds: 20}}}}\n"
    )


def states(world: World) -> list[str]:
    return [device.state for device in world.workspace.rollout("waves").devices]


def until(world: World, state: str) -> str:
    """Wait until the rollout is in a state; return why it is."""
    seen = []

    def is_so() -> bool:
        rollout = world.workspace.rollout("waves")
        seen.append(f"{rollout.state} {rollout.reason}")
        return rollout.state == state

    try:
        wait_until(is_so, f"it is {state}")
    except AssertionError as error:
        raise AssertionError(f"{error}; {dict.fromkeys(seen)}") from error
    return seen[-1]


def images(fleet: Fleet) -> list[str]:
    """Return what each agent itself says that it runs."""
    return [container["image"] for device in fleet for container in device.agent("status")["containers"]]


def test_a_bad_release_stops_in_the_first_wave_and_a_device_that_was_away_never_sees_it(
    world: World, fleet: Fleet
) -> None:
    fleet[1].daemon.stop()
    apply(world, fleet, "crashing:1", "waves: [{count: 2}], gates: {failures: 0}, awaySeconds: 6")
    with pytest.raises(StageError):  # it ends with 1
        world.stage.headland("rollout", "watch", "waves")
    wait_until(lambda: states(world)[0] == "returned", "the first one is back")
    rollout = world.workspace.rollout("waves")
    assert rollout.state == "aborted"
    assert "wave-1: stopped before it was ready" in rollout.reason
    assert states(world) == ["returned", "away", "pending"]
    fleet[1].daemon.start("connected to the hub")
    wait_until(lambda: states(world) == ["returned", "returned", "pending"], "so is the second")
    assert "crashing:1" not in fleet[1].daemon.log
    assert images(fleet) == ["digits:1"] * 3


@pytest.fixture
def asked(world: World, fleet: Fleet) -> Iterator[None]:
    """Each device is asked to score, all the time."""
    images = world.digits.held_out_images
    sensors = [DigitsSensor(device.name, device.endpoint(), "digits", images, 40.0) for device in fleet]
    for sensor in sensors:
        sensor.start()
    yield
    for sensor in sensors:
        sensor.stop()


def the_page_s_gates() -> list[dict[str, object]]:
    """Return the queries that docs/rollouts.md shows."""
    text = (Path(__file__).parents[2] / "docs/rollouts.md").read_text()
    block = text.partition("### Gates by query")[2].partition("```yaml\n")[2].partition("```")[0]
    found: list[dict[str, object]] = yaml.safe_load(block)["gates"]["queries"]
    return found


@pytest.mark.soak
@pytest.mark.usefixtures("asked")
def test_samples_of_real_devices_pass_the_gates_that_the_page_shows_and_stop_at_another(
    world: World, fleet: Fleet
) -> None:
    """All but the last wave have a rest to compare with, so the drift is asked of the first alone."""
    latency, drift = the_page_s_gates()
    waves = "waves: [{count: 1}, {count: 2, approval: true}], bakeSeconds: 1, gates: "
    apply(world, fleet, "digits:2", waves + json.dumps({"queries": [latency, drift]}))
    until(world, "awaiting-approval")
    (passed,) = [event.words for event in world.workspace.rollout_events("waves") if "drift" in event.words]
    assert passed.startswith("wave 1: p95-us is ")
    assert images(fleet) == ["digits:2", "digits:1", "digits:1"]
    apply(world, fleet, "digits:2", waves + json.dumps({"queries": [latency | {"atMost": 1}]}))
    assert "at most 1 may be" in until(world, "aborted")
    apply(world, fleet, "digits:1", "")
    wait_until(lambda: states(world) == ["running"] * 3, "all run digits:1 again")


def test_a_good_release_goes_over_all_wave_by_wave(world: World, fleet: Fleet) -> None:
    apply(world, fleet, "digits:2", "waves: [{count: 1}], bakeSeconds: 2")
    shown = world.stage.headland("rollout", "watch", "waves")
    assert (shown["state"], [device["state"] for device in shown["devices"]]) == ("done", ["running"] * 3)
    assert images(fleet) == ["digits:2"] * 3
    events = world.stage.headland("rollout", "history", "waves")
    assert [(event["state"], event["wave"]) for event in events] == [
        ("running", 1),
        ("running", 2),
        ("done", 2),
    ]
    world.stage.headland("rollout", "abort", "waves")
    wait_until(lambda: states(world) == ["returned"] * 3, "taken back after it was done")
    assert images(fleet) == ["digits:1"] * 3
