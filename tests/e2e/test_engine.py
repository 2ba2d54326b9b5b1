"""A device whose containers an engine runs: a job, an update under load, logs, a kill of the agent."""

from collections.abc import Iterator

import pytest

from simulators.demo.stage import Device
from simulators.sensors.digits import DigitsSensor
from tests.drivers.rig import is_missing
from tests.e2e.conftest import NUMBERS, World, manifest
from tests.e2e.waiting import wait_until
from tests.registry.engines import docker_socket

pytestmark = pytest.mark.system
START_S = 180.0  # the engine unpacks the image once more


@pytest.fixture
def device(world: World) -> Iterator[Device]:
    """A device with an engine of its own."""
    if missing := is_missing("docker"):
        pytest.skip(missing)
    with docker_socket() as address:
        name = f"dev-{next(NUMBERS)}"
        config = world.folder / f"{name}.toml"
        config.write_text(f'[docker]\nsocket = "{address}"\n')
        invitation = world.folder / f"{name}.invitation.json"
        world.stage.headland("device", "invite", name, "--file", str(invitation))
        device = Device(name, world.stage.folder, "docker", "--config", str(config))
        device.agent("enroll", "--invitation", str(invitation))
        device.daemon.start("connected to the hub")
        yield device
        device.daemon.stop()
        device.agent("down")


def module(world: World, device: Device) -> tuple[str, str]:
    """Return state and image of the one module, as the hub knows them."""
    modules = (world.workspace.device(device.name).reported or {}).get("modules", ())
    return (modules[0]["state"], modules[0]["image"]) if modules else ("", "")


def test_modules_live_in_an_engine_as_they_do_under_runc(world: World, device: Device) -> None:
    world.workspace.apply_rollout(manifest(device.name, "digits:1"))
    wait_until(lambda: module(world, device) == ("running", "digits:1"), "it runs", within_s=START_S)
    sensor = DigitsSensor(device.name, device.endpoint(), "digits", world.digits.held_out_images, 20.0)
    sensor.start()
    try:
        world.workspace.apply_rollout(manifest(device.name, "digits:2"))
        wait_until(lambda: module(world, device) == ("running", "digits:2"), "it changes", within_s=START_S)
        device.daemon.kill()
        device.daemon.start("connected to the hub")
    finally:
        tally = sensor.stop()
    assert tally.refused == []
    assert "started digits" not in device.daemon.log, "the container of before runs on"
    lines = device.agent("logs", "scorer")
    assert any("serving" in line["text"] or "listen" in line["text"] for line in lines), lines
    world.workspace.apply_rollout(
        manifest(device.name, "job:1", lifecycle="{restart: on-failure}", env="{CODE: '0'}")
    )
    wait_until(lambda: module(world, device) == ("exited", "job:1"), "the job ends well")
