"""The agent updates itself: as a rollout orders, on probation, and without touching a container.

The sensor counts: no request is refused. The judge of the containers is their ids, and the processes in them.
"""

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cloud_hub.sdk import HubRefusedError
from simulators.demo.stage import Device
from simulators.sensors.digits import DigitsSensor
from tests.e2e.conftest import World, scoring_processes
from tests.e2e.waiting import wait_until
from tests.selfupdate import releases
from tests.selfupdate.releases import Mend, make_release

NUMBERS = itertools.count(1)
TRIAL_S = 15.0  # a busy machine takes 6 s to start an agent
RATE_HZ = 100.0


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("agent-libs")


@pytest.fixture
def device(world: World, driver: str) -> Iterator[Device]:
    """A device that runs digits:1 and has a short patience with new agents."""
    name = f"self-{next(NUMBERS)}"
    settings = world.folder / f"{name}.toml"
    settings.write_text(f"[self_update]\ntrial_s = {TRIAL_S}\n")
    invitation = world.folder / f"{name}.invitation.json"
    world.stage.headland("device", "invite", name, "--file", str(invitation))
    device = Device(name, world.folder, driver, "--config", str(settings))
    world.stage.devices.append(device)
    device.agent("enroll", "--invitation", str(invitation))
    device.daemon.start("connected to the hub")
    roll_out(world, device)
    wait_until(lambda: state_of(world, device) == "running", "digits:1 runs")
    yield device
    device.daemon.stop()
    device.agent("down")
    world.stage.devices.remove(device)


@pytest.fixture
def sensor(world: World, device: Device) -> Iterator[DigitsSensor]:
    sensor = DigitsSensor(device.name, device.endpoint(), "digits", world.digits.held_out_images, RATE_HZ)
    sensor.start()
    yield sensor
    sensor.stop()


AddRelease = Callable[..., str]


@pytest.fixture
def release(world: World, tmp_path: Path, libraries: Path) -> AddRelease:
    """Add a release to the registry; return its name."""

    def add(version: str, mend: Mend = lambda _: None) -> str:
        file = make_release(tmp_path, version, libraries, mend)
        image = world.workspace.add_agent([file])
        return f"{image.name}:{image.version}"

    return add


def roll_out(world: World, device: Device, agent: str = "", *, module: str = "digits:1") -> None:
    order = f"  agent: {agent}\n" if agent else ""
    world.workspace.apply_rollout(
        f"apiVersion: headland/v1\nkind: Rollout\nmetadata:\n  name: {device.name}\nspec:\n{order}"
        f"  target:\n    devices: [{device.name}]\n  modules:\n    scorer:\n      image: {module}\n"
    )


def state_of(world: World, device: Device) -> str:
    (progress,) = world.workspace.rollout(device.name).devices
    return progress.state


def agent_of(world: World, device: Device) -> dict[str, str]:
    reported = world.workspace.device(device.name).reported or {}
    agent: dict[str, str] = reported.get("agent") or {}
    return agent


def containers(device: Device) -> list[str]:
    return sorted(container["id"] for container in device.agent("status")["containers"])


class Judge:
    """Says whether a device's containers are what they were, all served, and the agent's process the same."""

    def __init__(self, device: Device, sensor: DigitsSensor) -> None:
        self._device, self._sensor = device, sensor
        self._before = self._seen()

    def _seen(self) -> tuple[int, list[str], list[int]]:
        return self._device.daemon.pid, containers(self._device), scoring_processes(self._device)

    def faults(self) -> list[str]:
        time.sleep(0.5)
        tally = self._sensor.stop()
        found = [*tally.refused]
        if tally.answered != tally.sent or tally.sent < RATE_HZ:
            found.append(f"{tally.answered} of {tally.sent} answered")
        if self._seen() != self._before:
            found.append(f"{self._before} became {self._seen()}")
        return found


def test_versions_come_and_go_and_no_container_notices(
    world: World, device: Device, sensor: DigitsSensor, release: AddRelease
) -> None:
    """A good one, a better one, one that lacks a file, one that cannot connect; no supervisor helps."""
    judge = Judge(device, sensor)
    first, second = release("0.1.1"), release("0.1.2")
    with pytest.raises(HubRefusedError, match="names what is not there"):
        roll_out(world, device, "digits:1")  # no release of the agent
    with pytest.raises(HubRefusedError, match="names what is not there"):
        roll_out(world, device, module=first)  # and that is nothing else
    for version, name in (("0.1.1", first), ("0.1.2", second)):
        roll_out(world, device, name)
        wait_until(lambda: state_of(world, device) in {"running", "failed"}, f"{version} is judged")
        told = agent_of(world, device)
        assert state_of(world, device) == "running", told
        assert (told["version"], told["release"]) == (version, name)
    for mend, reason in (
        (releases.MISSING_FILE, "No module named 'agent.lock'"),
        (releases.CANNOT_CONNECT, "not connected to the hub within"),
    ):
        bad = release(f"0.1.3-{next(NUMBERS)}", mend)
        roll_out(world, device, bad)
        wait_until(lambda: state_of(world, device) == "failed", "the device says that it failed")
        told = agent_of(world, device)
        assert (told["version"], told["release"], told["ordered"]) == ("0.1.2", second, bad)
        assert reason in told["reason"]
    assert device.daemon.log.count("is tried now") == 4, "the same generation is not tried again"
    assert device.agent("status")["agent"]["release"] == second
    with pytest.raises(HubRefusedError, match="deployed"):
        world.workspace.delete_image(second)
    assert judge.faults() == []


@pytest.mark.parametrize("driver", ["process"])
def test_negative_control_a_container_that_was_restarted_is_seen(
    world: World, device: Device, sensor: DigitsSensor, driver: str
) -> None:
    judge = Judge(device, sensor)
    for pid in scoring_processes(device):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(scoring_processes(device)) > 0, "it runs again")
    assert judge.faults()


BAD: dict[str, tuple[Mend, str]] = {
    "a syntax error": (releases.SYNTAX_ERROR, "SyntaxError"),
    "a hang": (releases.HANGS_AT_IMPORT, "not imported within"),
    "a crash": (releases.CRASHES_AT_IMPORT, "RuntimeError: no"),
    "deaf": (releases.DEAF, "the hub has not answered it within"),
}


@pytest.mark.soak
@pytest.mark.parametrize("fault", BAD)
def test_a_bad_version_goes_back_by_itself_and_says_why(
    world: World, device: Device, sensor: DigitsSensor, release: AddRelease, fault: str
) -> None:
    judge, (mend, reason) = Judge(device, sensor), BAD[fault]
    bad = release("0.1.3", mend)
    roll_out(world, device, bad)
    wait_until(lambda: state_of(world, device) == "failed", "the device says that it failed")
    told = agent_of(world, device)
    assert (told["version"], told["release"], told["ordered"]) == ("0.1.0", "", bad)
    assert reason in told["reason"]
    time.sleep(1.5)
    assert device.daemon.log.count("is tried now") == 1, "the same generation is not tried again"
    assert judge.faults() == []


@pytest.mark.soak
def test_a_version_that_dies_is_left_after_its_tries(
    world: World, device: Device, release: AddRelease
) -> None:
    """Killed from outside of Python, it needs who starts the agent again, as systemd does."""
    ids = containers(device)
    roll_out(world, device, release("0.1.4", releases.DIES))
    for _ in range(3):
        wait_until(lambda: ended(device), "it dies")
        device.daemon.kill()
        device.daemon.begin()
    wait_until(lambda: state_of(world, device) == "failed", "the device says that it failed")
    assert "ended 3 times" in agent_of(world, device)["reason"]
    assert containers(device) == ids


def ended(device: Device) -> bool:
    process = device.daemon._process
    return process is not None and process.poll() == -signal.SIGKILL
