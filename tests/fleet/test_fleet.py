"""Simulated devices at a real hub with its real broker, by the command that people use."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from cloud_hub.sdk import Hub
from simulators.demo.stage import Stage, StageError, run_command
from simulators.fleet.behaviour import Behaviour
from simulators.fleet.journal import Story
from simulators.fleet.processes import Processes
from simulators.fleet.run import EMPTY_IMAGE, Options, run_fleet

DEVICES = 40


async def nothing(_: Processes) -> None:
    """All is done."""


def fleet(folder: Path, *options: str) -> dict[str, object]:
    """Run the command and return its figures."""
    shared = ("--folder", str(folder), "--spread", "1", "--stay", "0", "--timeout", "60", "--output", "json")
    answer: dict[str, object] = run_command("headland-sim", "fleet", *shared, *options)
    return answer


def test_a_fleet_enrols_once_connects_and_runs_what_is_rolled_out(stage: Stage, tmp_path: Path) -> None:
    records = tmp_path / "records.jsonl"
    first = fleet(tmp_path, "--devices", str(DEVICES), "--roll-out", "--records", str(records))
    assert (first["enrolled"], first["connected"], first["running"]) == (DEVICES, DEVICES, DEVICES)
    assert (first["failed"], first["refused_documents"]) == (0, {})
    stories = [msgspec.json.decode(line, type=Story) for line in records.read_bytes().splitlines()]
    assert [story.device for story in stories] == [f"sim-{number:05d}" for number in range(1, DEVICES + 1)]
    with Hub.connect() as hub:
        shop = hub.workspace()
        assert {device.state for device in shop.rollout("simulated").devices} == {"running"}
        seen = {device.id: device for device in shop.devices()}
        assert {story.device for story in stories} == set(seen)
    again = fleet(tmp_path, "--devices", str(DEVICES + 2))
    assert (again["enrolled"], again["connected"]) == (2, DEVICES + 2)


async def test_devices_that_fail_say_so_to_the_hub(stage: Stage, tmp_path: Path) -> None:
    def options(behaviour: Behaviour) -> Options:
        return Options(
            devices=6,
            folder=tmp_path,
            prefix="bad",
            image=EMPTY_IMAGE,
            timeout_s=60,
            ready_timeout_s=1,
            behaviour=behaviour,
        )

    figures, _ = await run_fleet(options(Behaviour(never_ready=frozenset({"simulated:1"}))), print, nothing)
    assert (figures.running, figures.failed) == (0, 6)

    def told() -> set[tuple[str, str]]:
        with Hub.connect() as hub:
            devices = hub.workspace().rollout("simulated").devices
        return {(device.state, device.reason) for device in devices}

    assert await asyncio.to_thread(told) == {("failed", "not ready within 1 s")}


def test_a_folder_of_another_hub_is_refused(stage: Stage, tmp_path: Path) -> None:
    fleet(tmp_path, "--devices", "1", "--prefix", "other")
    facts = tmp_path / "other-00001" / "device.json"
    facts.write_text(facts.read_text().replace("https://", "https://else."))
    with pytest.raises(StageError, match=r"are of the hub at https://else\..* Give another --folder"):
        fleet(tmp_path, "--devices", "2", "--prefix", "other")
