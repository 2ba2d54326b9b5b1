"""Waves over simulated devices: a good release reaches all, a bad one ends in the first wave."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cloud_hub.sdk import Hub
from cloud_hub.sdk.rollout_types import Rollout
from cloud_hub.sdk.workspace import Workspace
from simulators.fleet.behaviour import Behaviour
from simulators.fleet.empty_image import ensure_empty_image
from simulators.fleet.enrolling import names
from simulators.fleet.figures import Applied
from simulators.fleet.processes import Processes
from simulators.fleet.run import Options, give, run_fleet

pytestmark = pytest.mark.usefixtures("stage")

DEVICES = 50
WAVES = "waves: [{count: 2}, {percent: 50}], bakeSeconds: 1"
BAD = frozenset({"broken:1"})
WITHIN_S = 60.0


class Fleet:
    """A connected fleet at work: rolls out, and waits."""

    def __init__(self, options: Options, workspace: Workspace, fleet: Processes) -> None:
        self._options, self._workspace, self._fleet = options, workspace, fleet

    async def give(self, image: str, strategy: str) -> Applied:
        named = await asyncio.to_thread(ensure_empty_image, self._workspace, image)
        devices = names(self._options.prefix, DEVICES)
        return await asyncio.to_thread(
            give, self._workspace, devices, replace(self._options, image=named), strategy
        )

    async def all_run(self, applied: Applied) -> None:
        await self._fleet.until(
            lambda: self._fleet.progress.running.get(applied.name, 0) == DEVICES,
            f"all run {applied.name}",
            WITHIN_S,
        )

    async def until(self, *states: str) -> Rollout:
        async with asyncio.timeout(WITHIN_S):
            while True:
                rollout = await asyncio.to_thread(self._workspace.rollout, "simulated")
                if rollout.state in states:
                    return rollout
                await asyncio.sleep(0.2)


def at_work(folder: Path, work: Callable[[Fleet], Awaitable[None]]) -> None:
    """Run a fleet, and ``work`` once it is connected."""
    behaviour = Behaviour(pull_s=(0, 0.2), ready_s=(0, 0.2), never_ready=BAD)
    options = Options(devices=DEVICES, folder=folder, ready_timeout_s=2, behaviour=behaviour)
    with Hub.connect() as hub:
        workspace = hub.workspace()
        asyncio.run(run_fleet(options, print, lambda fleet: work(Fleet(options, workspace, fleet))))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The identities of the devices, for all tests."""
    return tmp_path_factory.mktemp("fleet")


def test_a_good_release_reaches_all_and_a_bad_one_ends_in_the_first_wave(folder: Path) -> None:
    async def work(fleet: Fleet) -> None:
        good = await fleet.give("good", f"{{{WAVES}}}")
        await fleet.all_run(good)
        assert (await fleet.until("done")).wave == 3
        bad = await fleet.give("broken", f"{{{WAVES}}}")
        stopped = await fleet.until("aborted")
        assert (bad.name, stopped.wave) == ("simulated:2", 1)
        assert "2 of 2 devices failed, 0 may" in stopped.reason
        await fleet.all_run(good)
        returned = [one.device for one in (await fleet.until("aborted")).devices if one.state == "returned"]
        assert len(returned) == 2

    at_work(folder, work)


def test_negative_control_without_the_gate_it_reaches_them(folder: Path) -> None:
    async def work(fleet: Fleet) -> None:
        await fleet.all_run(await fleet.give("good", ""))
        await fleet.give("broken", f"{{{WAVES}, gates: {{failures: 100%}}}}")
        ended = await fleet.until("done", "aborted", "paused")
        assert (ended.state, ended.wave) == ("done", 3)
        assert sum(one.state == "failed" for one in ended.devices) == DEVICES

    at_work(folder, work)
