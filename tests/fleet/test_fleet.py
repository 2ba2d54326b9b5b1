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
from simulators.fleet.profiles import Cut
from simulators.fleet.run import EMPTY_IMAGE, Options, run_fleet
from simulators.fleet.scenario import Group
from simulators.fleet.sensing import Sensor

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


async def test_each_sample_of_a_fleet_is_stored_once_through_links_that_are_cut(
    stage: Stage, tmp_path: Path
) -> None:
    sensor = Sensor(stream="brightness", period_s=0.25)
    cut = Cut(at_s=2, for_s=2, share=0.5)
    groups = (Group(name="sensing", share=1, cuts=(cut,), sensors=(sensor,)),)
    options = Options(devices=10, folder=tmp_path, prefix="sensing", groups=groups, timeout_s=60)

    async def a_while(_: Processes) -> None:
        await asyncio.sleep(5)

    figures, stories = await run_fleet(options, print, a_while)
    assert figures.lost_connections >= 1, "links were cut"
    assert (figures.samples_waiting, figures.samples_dropped) == (0, 0)
    assert {story.device for story in stories if story.taken > 4} == {story.device for story in stories}

    def stored() -> dict[object, tuple[object, ...]]:
        with Hub.connect() as hub:
            found = hub.workspace().query(
                "SELECT device, count(*), count(DISTINCT seq), max(seq) FROM brightness GROUP BY device"
            )
        return {device: tuple(counts) for device, *counts in found.rows}

    assert await asyncio.to_thread(stored) == {story.device: (story.taken,) * 3 for story in stories}


def test_a_folder_of_another_hub_is_refused(stage: Stage, tmp_path: Path) -> None:
    fleet(tmp_path, "--devices", "1", "--prefix", "other")
    facts = tmp_path / "other-00001" / "device.json"
    facts.write_text(facts.read_text().replace("https://", "https://else."))
    with pytest.raises(StageError, match=r"are of the hub at https://else\..* Give another --folder"):
        fleet(tmp_path, "--devices", "2", "--prefix", "other")
