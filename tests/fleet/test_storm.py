"""The broker is killed under 500 devices: they come back within a minute, and none of them storms it."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from benchmarks.fleet_phases import broker_of
from cloud_hub.sdk import Hub
from simulators.demo.stage import Stage
from simulators.fleet.enrolling import names
from simulators.fleet.figures import Applied
from simulators.fleet.journal import Story
from simulators.fleet.judge import MOST_IN_A_SECOND, WITHIN_S, back_at, most_in, storm_faults
from simulators.fleet.processes import Processes
from simulators.fleet.run import EMPTY_IMAGE, Options, roll_out, run_fleet

pytestmark = pytest.mark.soak

DEVICES = 500
AWAY_S = 5.0


@dataclass
class Storm:
    """Kills the broker, which is away for ``AWAY_S``, and waits until all devices are there again.

    Then something is rolled out.
    """

    stage: Stage
    options: Options
    killed_at: float = 0.0
    then: Applied | None = None

    async def __call__(self, fleet: Processes) -> None:
        tried = fleet.progress.tried
        self.killed_at = time.monotonic()
        process = psutil.Process(self.stage.hub.pid)
        broker = broker_of(self.stage)
        process.suspend()  # else it starts another broker at once
        broker.kill()
        await asyncio.sleep(AWAY_S)
        process.resume()
        await fleet.until(lambda: fleet.progress.connected < DEVICES, "the loss is seen", 30)
        await fleet.until(lambda: fleet.progress.connected == DEVICES, "all are back", 2 * WITHIN_S)
        print(f"back after {fleet.progress.tried - tried} tries")
        with Hub.connect() as hub:
            devices = names(self.options.prefix, DEVICES)
            self.then = await roll_out(hub.workspace(), fleet, devices, self.options)


async def storm(stage: Stage, folder: Path, *, hasty: bool = False) -> tuple[list[Story], Storm]:
    options = Options(devices=DEVICES, folder=folder, image=EMPTY_IMAGE, hasty=hasty, spread_s=3)
    during = Storm(stage, options)
    figures, stories = await run_fleet(options, print, during)
    print(figures)
    return stories, during


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The identities of the devices, for both tests."""
    return tmp_path_factory.mktemp("fleet")


async def test_a_broker_that_is_killed_is_survived_without_a_storm(stage: Stage, folder: Path) -> None:
    stories, during = await storm(stage, folder)
    assert sum(bool(story.lost_at) for story in stories) == DEVICES, "all of them lost their connection"
    back = [at - during.killed_at for story in stories if (at := back_at(story, during.killed_at))]
    tries = [most_in([at for at in story.tried_at if at >= during.killed_at]) for story in stories]
    print(f"the last was back after {max(back):.1f} s, at most {max(tries)} tries of a device in a second")
    assert storm_faults(stories, during.killed_at) == []
    assert during.then is not None
    assert {story.rollout for story in stories} == {during.then.name}, "what came afterwards arrived"


async def test_negative_control_devices_without_the_waits_are_found(stage: Stage, folder: Path) -> None:
    stories, during = await storm(stage, folder, hasty=True)
    hasty = [fault for fault in storm_faults(stories, during.killed_at) if "in one second" in fault]
    assert len(hasty) > DEVICES / 2, f"only {len(hasty)} tried more than {MOST_IN_A_SECOND} times a second"
