"""The main job on real parts: updates under load, kills of the agent, bad releases.

The judge is the hub's storage: every request that the sensor sent is there once, none was refused.
"""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from simulators.demo.stage import Device
from simulators.sensors.digits import DigitsSensor, Tally
from tests.e2e.conftest import RollOut, World, manifest, scoring_processes
from tests.e2e.waiting import DEADLINE_S, wait_until
from tests.machine.prometheus import read
from tests.machine.test_metrics import scrape

RATE_HZ = 150.0


@pytest.fixture
def sensor(world: World, device: Device, roll_out: RollOut) -> Iterator[DigitsSensor]:
    """A sensor that sends to digits:1 while the test goes on."""
    roll_out("digits:1")
    sensor = DigitsSensor(device.name, device.endpoint(), "digits", world.digits.held_out_images, RATE_HZ)
    sensor.start()
    yield sensor
    sensor.stop()


def stored(world: World, device: Device) -> list[tuple[str, str]]:
    """Return (request, model version) of every inference of the device in the hub's storage."""
    rows = world.workspace.query(
        "SELECT body->>'request_id', body->>'model_version' FROM inference"
        f" WHERE device = '{device.name}' ORDER BY seq",
        100_000,
    ).rows
    return [(str(request), str(version)) for request, version in rows]


def judge(
    world: World, device: Device, tally: Tally, *, within_s: float = DEADLINE_S
) -> list[tuple[str, str]]:
    """Wait for the last samples, then compare what was sent with what is stored: no tolerance."""
    wait_until(lambda: len(stored(world, device)) >= tally.sent, "all samples are stored", within_s=within_s)
    samples = stored(world, device)
    assert [request for request, _ in samples] == [request for request, _ in dict.fromkeys(samples)]
    assert {request for request, _ in samples} == {f"{device.name}-{i}" for i in range(tally.sent)}
    assert tally.refused == []
    return samples


def apply(world: World, device: Device, image: str) -> None:
    world.workspace.apply_rollout(manifest(device.name, image))


def runs(world: World, image: str) -> bool:
    rollout = world.workspace.rollout("test")
    return rollout.images == {"scorer": image} and all(d.state == "running" for d in rollout.devices)


def test_an_update_under_load_refuses_and_loses_nothing(
    world: World, device: Device, sensor: DigitsSensor, roll_out: RollOut
) -> None:
    time.sleep(0.5)
    for image in ("digits:2", "digits:1", "digits:2"):
        roll_out(image)
    time.sleep(0.5)
    samples = judge(world, device, sensor.stop())
    assert {version for _, version in samples} == {"1", "2"}
    assert samples[-1][1] == "2"


@pytest.mark.parametrize(
    "moment", ["accepted generation", "pulling digits:2", "started digits:2", "digits:2 passed"]
)
def test_a_kill_of_the_agent_in_the_middle_of_an_update_ends_with_the_new_version(
    world: World, device: Device, sensor: DigitsSensor, moment: str
) -> None:
    apply(world, device, "digits:2")
    words = "accepted generation 2" if moment == "accepted generation" else moment
    device.daemon.wait_for(words)
    device.daemon.kill()
    time.sleep(0.5)  # the sensor goes on: containers outlive their agent
    device.daemon.start("connected to the hub")
    wait_until(lambda: runs(world, "digits:2"), "the device runs digits:2")
    time.sleep(0.3)
    samples = judge(world, device, sensor.stop())
    assert samples[-1][1] == "2"
    wait_until(lambda: len(device.agent("status")["containers"]) == 1, "one container is left")


def test_negative_control_a_killed_container_is_seen_by_the_judge(
    world: World, device: Device, sensor: DigitsSensor
) -> None:
    time.sleep(0.5)
    for pid in scoring_processes(device):
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.5)
    tally = sensor.stop()
    time.sleep(2)
    assert tally.refused or len(stored(world, device)) < tally.sent


def test_a_scoring_container_that_was_killed_is_started_again(
    world: World, device: Device, roll_out: RollOut
) -> None:
    roll_out("digits:1")
    before = scoring_processes(device)
    assert before
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: bool(set(scoring_processes(device)) - set(before)), "a new container runs")
    wait_until(lambda: runs(world, "digits:1"), "the device says so")


@pytest.mark.parametrize(
    ("image", "reason"),
    [("crashing:1", "stopped before it was ready"), ("silent:1", "not ready within 3 s")],
)
def test_a_bad_release_goes_back_by_itself_and_refuses_nothing(
    world: World, device: Device, sensor: DigitsSensor, image: str, reason: str
) -> None:
    world.workspace.apply_rollout(manifest(device.name, image, readyTimeoutSeconds="3"))
    wait_until(lambda: world.workspace.rollout("test").settled, "the rollout is settled")
    (progress,) = world.workspace.rollout("test").devices
    assert (progress.state, progress.reason) == ("failed", reason)
    (module,) = (world.workspace.device(device.name).reported or {})["modules"]
    assert (module["state"], module["image"]) == ("rolled_back", "digits:1")
    wait_until(lambda: len(device.agent("status")["containers"]) == 1, "one container is left")
    samples = judge(world, device, sensor.stop())
    assert {version for _, version in samples} == {"1"}


def test_a_bad_release_after_a_restart_of_the_agent_leaves_the_good_version_reachable(
    world: World, device: Device, sensor: DigitsSensor
) -> None:
    """The restarted agent has a new listener: it must not stand at the path before something serves it."""
    device.daemon.kill()
    device.daemon.start("connected to the hub")
    world.workspace.apply_rollout(manifest(device.name, "silent:1", readyTimeoutSeconds="3"))
    wait_until(lambda: world.workspace.rollout("test").settled, "the rollout is settled")
    assert world.workspace.rollout("test").devices[0].state == "failed"
    time.sleep(0.5)
    samples = judge(world, device, sensor.stop())
    assert {version for _, version in samples} == {"1"}


def test_down_remembers_the_version_that_last_passed(world: World, device: Device, roll_out: RollOut) -> None:
    roll_out("digits:1")
    world.workspace.apply_rollout(manifest(device.name, "crashing:1"))
    wait_until(lambda: world.workspace.rollout("test").settled, "the rollout is settled")
    device.daemon.stop()
    device.agent("down")
    assert device.agent("status")["containers"] == []
    device.daemon.start("connected to the hub")
    wait_until(lambda: bool(scoring_processes(device)), "digits:1 runs again")
    sensor = DigitsSensor(device.name, device.endpoint(), "digits", world.digits.held_out_images, RATE_HZ)
    sensor.start()
    time.sleep(0.5)
    assert judge(world, device, sensor.stop())


def test_scoring_goes_on_without_hub_and_nothing_is_lost(
    world: World, device: Device, sensor: DigitsSensor
) -> None:
    world.stage.hub.kill()
    try:
        time.sleep(1.5)
    finally:
        world.stage.hub.start("hub ready")
    time.sleep(0.5)
    judge(world, device, sensor.stop())


def test_an_agent_that_starts_without_hub_scores(world: World, device: Device, roll_out: RollOut) -> None:
    roll_out("digits:1")
    device.daemon.stop()
    world.stage.hub.stop()
    try:
        device.daemon.start("driver")
        images = world.digits.held_out_images
        sensor = DigitsSensor(device.name, device.endpoint(), "digits", images, RATE_HZ)
        sensor.start()
        time.sleep(1)
        tally = sensor.stop()
    finally:
        world.stage.hub.start("hub ready")
    assert tally.answered > 20
    judge(world, device, tally)


def test_what_the_machine_tells_of_a_running_module(world: World, device: Device, roll_out: RollOut) -> None:
    """Logs, their cap, the restarts of a crash, and a check against the real hub and broker."""
    roll_out("digits:1")
    (container,) = device.agent("status")["containers"]
    assert any("ready" in line["text"] for line in device.agent("logs", "scorer"))
    log = device.state_dir / "containers" / container["id"] / "log"
    with log.open("ab") as file:
        file.write(b"chatter\n" * (1 << 20))
    wait_until(lambda: log.with_name("log.1").exists() and log.stat().st_size < 1 << 20, "it was set aside")
    for pid in scoring_processes(device):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: bool(device.agent("logs", "scorer")[0]["container"] == "-"), "its last words are kept")
    wait_until(lambda: runs(world, "digits:1"), "it runs again")
    _, _, data = scrape(device.state_dir / "metrics.sock")
    found = read(data)
    assert found["headland_module_restarts_total"].value(module="scorer") == 1
    assert found["headland_connected"].value() == 1
    findings = {one["name"]: one for one in device.agent("check")["findings"]}
    for name in ("clock", "hub", "broker", "daemon", "driver", "certificate"):
        assert findings[name]["verdict"] == "ok", findings[name]
    mapped = findings["driver"]["words"].endswith("with user namespaces")
    assert (container["user_namespace"] is not None) == mapped
    device.daemon.wait_for("stopped by itself")
    assert "disconnected from the hub" not in device.daemon.log, "a look threw the daemon off its line"
