"""A device by a wrong clock, on real parts: in 1970, 90 days ahead, a day behind, set while it works.

The judge is the hub's storage: every sample is there once, in the order of its sequence, with the time that
the device gave it. The wrong clock is real for the whole daemon (`simulators.wrong_clock`).
"""

import json
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.endpoints.unix_client import UnixHttpConnection
from simulators.demo.stage import Device
from simulators.wrong_clock import WrongClock, why_not
from tests.e2e.conftest import RollOut, World, manifest
from tests.e2e.test_lifecycle import run_folder
from tests.e2e.waiting import wait_until

DAY_S = 86_400.0
EPOCH_AGAIN = datetime(1970, 1, 1, 0, 0, 30, tzinfo=UTC)
STREAM = "vitals"
EARLIER_US = 31_000_000

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


@pytest.fixture
def clock(tmp_path: Path) -> WrongClock:
    """A clock to be set."""
    return WrongClock(tmp_path)


def scores(world: World, device: Device) -> bool:
    """Does the device's module answer a request?"""
    image = world.digits.held_out_images[0].tolist()
    body = {"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 64], "data": image}]}
    connection = UnixHttpConnection(device.endpoint())
    try:
        connection.request("POST", "/v2/models/digits/infer", json.dumps(body))
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def hand_over(device: Device, number: int, at_us: int) -> None:
    """Hand a sample over as the module would."""
    connection = UnixHttpConnection(run_folder(device) / "agent.sock")
    body = {"producer": "p" * 32, "number": number, "sampled_at_us": [at_us], "bodies": [{"n": number}]}
    connection.request("POST", f"/v1/telemetry/{STREAM}", json.dumps(body))
    answer = connection.getresponse()
    words = answer.read()
    assert answer.status == 200, words
    connection.close()


def stored(world: World, device: Device) -> list[tuple[int, int]]:
    """Return number and time in microseconds of the samples in the hub's storage, by sequence."""
    rows = world.workspace.query(
        f"SELECT CAST(body->>'n' AS INTEGER), epoch_us(sampled_at) FROM {STREAM}"
        f" WHERE device = '{device.name}' ORDER BY seq"
    ).rows
    return [(int(number), int(at_us)) for number, at_us in rows]


@pytest.mark.parametrize("driver", ["process"])
def test_a_device_in_1970_scores_and_connects_once_its_clock_is_right(
    world: World, device: Device, roll_out: RollOut, clock: WrongClock
) -> None:
    roll_out("digits:1")
    identity = (device.state_dir / "identity" / "cert.pem").read_bytes()
    device.daemon.stop()
    device.agent("down")
    device.daemon.before = clock.words
    clock.set_to(EPOCH_AGAIN)
    device.daemon.start("driver")
    device.daemon.wait_for("started digits:1")
    assert device.daemon.log.startswith("1970-01-01"), "its clock is wrong"
    wait_until(lambda: scores(world, device), "it scores in 1970")
    device.daemon.wait_for("certificate is not yet valid; the clock here says 1970-01-01")
    hand_over(device, 1, EARLIER_US)
    hand_over(device, 2, EARLIER_US + 1)
    clock.set_ahead(0)
    device.daemon.wait_for("connected to the hub")
    hand_over(device, 3, time.time_ns() // 1000)
    wait_until(lambda: len(stored(world, device)) >= 3, "the samples are stored")
    found = stored(world, device)
    assert [number for number, _ in found] == [1, 2, 3]
    assert [at_us for _, at_us in found[:2]] == [EARLIER_US, EARLIER_US + 1], "the times are the device's"
    assert "set by +" in device.daemon.log
    assert (device.state_dir / "identity" / "cert.pem").read_bytes() == identity, "no new one was asked for"


@pytest.mark.parametrize("driver", ["process"])
def test_a_clock_that_is_set_while_the_device_works_stops_and_loses_nothing(
    world: World, device: Device, roll_out: RollOut, clock: WrongClock
) -> None:
    device.daemon.stop()
    device.daemon.before = clock.words
    device.daemon.start("connected to the hub")
    roll_out("digits:1")
    hand_over(device, 1, EARLIER_US)
    clock.set_ahead(90 * DAY_S)
    device.daemon.wait_for(f"set by +{90 * DAY_S:.0f} s")
    assert scores(world, device)
    hand_over(device, 2, EARLIER_US)
    world.workspace.apply_rollout(manifest(device.name, "digits:2"))
    device.daemon.wait_for("refused a desired document")
    assert "[expired]" in device.daemon.log
    clock.set_ahead(0)
    device.daemon.wait_for("digits:2 passed")
    clock.set_ahead(-DAY_S)
    device.daemon.wait_for(f"set by -{DAY_S:.0f} s")
    assert scores(world, device)
    hand_over(device, 3, EARLIER_US)
    clock.set_ahead(0)
    device.daemon.wait_for(f"set by +{DAY_S:.0f} s")
    wait_until(lambda: len(stored(world, device)) >= 3, "the samples are stored")
    assert stored(world, device) == [(number, EARLIER_US) for number in (1, 2, 3)]
    assert device.daemon.log.count("connected to the hub at") <= 3, "no storm of connections"
    assert "Traceback" not in device.daemon.log


@pytest.mark.system
def test_without_any_network_and_in_1970_what_is_on_the_disk_scores(
    world: World, device: Device, roll_out: RollOut, clock: WrongClock
) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare (Debian, Ubuntu: apt install util-linux)")
    roll_out("digits:1")
    device.daemon.stop()
    device.agent("down")
    clock.set_to(EPOCH_AGAIN)
    # Not even the loopback is up.
    device.daemon.before = ("unshare", "--net", *clock.words)
    device.daemon.start("started digits:1")
    wait_until(lambda: scores(world, device), "it scores")
    assert "Network is unreachable" in device.daemon.log
