"""A module that means harm, under runc: it gets nothing, and neither the agent nor its neighbour notices.

The judge is the same probe with the walls down: a module that the owner lets be privileged does get through.
"""

import json
import time
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest

from agent.endpoints.unix_client import UnixHttpConnection
from simulators.demo.stage import Device, StageError
from simulators.sensors.digits import DigitsSensor
from tests.e2e.conftest import Owner, World, manifest
from tests.e2e.test_access import module, reported
from tests.e2e.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.parametrize("driver", ["runc"], indirect=True)]
SCRIPT = Path(__file__).with_name("hostile_script.py")
INTERVAL_S = 1.0
ASKED, SPELLS = 1000, 7
AGENT = f"report_interval_s = {INTERVAL_S}\nreconcile_interval_s = 0.5\n"
ALL = "bomb hoard flood fill dig"
REFUSED = {
    "mount", "unshare-user", "unshare-mount", "alg", "raw", "packet", "metadata", "kernel-log", "sysrq",
    "root",
}  # fmt: skip


@pytest.fixture(scope="module")
def hostile(world: World) -> str:
    """The image of a hostile module."""
    world.workspace.build_image("hostile", "digits:1", SCRIPT)
    return "hostile:1"


def with_hostile(device: Device, image: str, **more: str) -> str:
    lines = {"image": image, "readyTimeoutSeconds": "600", "env": f"{{ATTACK: '{ALL}'}}"} | more
    extra = "".join(f"      {key}: {value}\n" for key, value in lines.items())
    return f"{manifest(device.name, 'digits:1')}    hostile:\n{extra}"


def probed(device: Device) -> dict[str, int]:
    """Return what came of what the module tried: an error's number, or 0."""
    try:
        lines = device.agent("logs", "hostile", "--lines", "100000")
    except StageError:  # it has not begun yet
        return {}
    found = [line["text"] for line in lines if line["text"].startswith("probe ")]
    return dict(json.loads(found[-1].removeprefix("probe "))) if found else {}


def p95s_s(device: Device) -> list[float]:
    """Return the 95th percentile of the neighbour's answers in each of some spells, least first."""
    return sorted(p95_s(device, ASKED) for _ in range(SPELLS))


def p95_s(device: Device, count: int) -> float:
    took = []
    connection = UnixHttpConnection(device.state_dir / "run/scorer.sock", timeout_s=30)
    for _ in range(count):
        begun = time.perf_counter()
        connection.request("GET", "/v2/models/digits")
        connection.getresponse().read()
        took.append(time.perf_counter() - begun)
        time.sleep(0.005)
    connection.close()
    return sorted(took)[int(len(took) * 0.95)]


def shown(times_s: list[float]) -> str:
    """Return the median, the least and the most, in milliseconds."""
    return f"{median(times_s) * 1e3:.2f} ms ({times_s[0] * 1e3:.2f} to {times_s[-1] * 1e3:.2f})"


def beats(world: World, device: Device, lasts_s: float) -> list[float]:
    """Return the device's own times between its reports, over so long by its own clock."""
    seen: list[datetime] = []
    while not seen or (seen[-1] - seen[0]).total_seconds() < lasts_s:
        at = datetime.fromisoformat(reported(world, device)["at"])
        if not seen or at > seen[-1]:
            seen.append(at)
        time.sleep(0.05)
    return [(later - earlier).total_seconds() for earlier, later in pairwise(seen)]


# A module that is out of memory is ended and waits: what it does all the time is tried by itself too.
LONG = [
    pytest.param(60.0, attack, marks=pytest.mark.soak) for attack in (ALL, "bomb flood dig", "bomb hoard")
]


@pytest.mark.parametrize(("lasts_s", "attack"), [(8.0, ALL), *LONG])
def test_a_hostile_module_gets_nothing_and_disturbs_nobody(
    world: World, owner: Owner, hostile: str, lasts_s: float, attack: str
) -> None:
    device = owner(AGENT, "")
    world.workspace.apply_rollout(manifest(device.name, "digits:1"))
    wait_until(lambda: module(world, device) == ("running", ""), "the neighbour runs")
    sensor = DigitsSensor(
        device.name, device.state_dir / "run/scorer.sock", "digits", world.digits.held_out_images, 20.0
    )
    sensor.start()
    alone_s = p95s_s(device) if lasts_s > 10 else []
    world.workspace.apply_rollout(with_hostile(device, hostile, env=f"{{ATTACK: '{attack}'}}"))
    results = dict[str, int]()

    def has_tried() -> bool:  # asked once: what it prints later pushes that out of its log
        results.update(probed(device))
        return bool(results)

    wait_until(has_tried, "it has tried")
    gaps = beats(world, device, lasts_s)
    beside_s = p95s_s(device) if lasts_s > 10 else []
    tally = sensor.stop()
    print(f"{len(gaps)} gaps between reports, the longest {max(gaps):.2f} s")
    assert len(gaps) >= sum(gaps) / (2 * INTERVAL_S), "every second report or more came in time"
    assert tally.refused == []
    assert results.keys() == REFUSED
    assert [name for name, number in results.items() if number == 0] == []
    if lasts_s > 10:
        assert max(gaps) <= 2 * INTERVAL_S
        print(f"p95 alone {shown(alone_s)}, beside it {shown(beside_s)}")
        assert median(beside_s) < 2 * median(alone_s)
    world.workspace.apply_rollout(manifest(device.name, "digits:1"))
    wait_until(lambda: alone(device), "it goes when told to")


def alone(device: Device) -> bool:
    return {str(one["id"]).split("-")[0] for one in device.agent("status")["containers"]} == {"scorer"}


def test_the_same_gets_through_where_the_owner_lets_it_be_privileged(
    world: World, owner: Owner, hostile: str
) -> None:
    device = owner(AGENT, "")
    asking = with_hostile(device, hostile, access="{privileged: true}", env="{}")
    world.workspace.apply_rollout(asking)
    wait_until(lambda: reported(world, device).get("refused") is not None, "refused by the policy")
    assert reported(world, device)["refused"]["code"] == "policy-privileged"
    owner(AGENT, "privileged = true")
    wait_until(lambda: bool(probed(device)), "allowed, it has tried")
    results = probed(device)
    opened = {"mount", "unshare-mount", "raw", "packet", "kernel-log"}
    assert {name: number for name, number in results.items() if name in opened and number} == {}
