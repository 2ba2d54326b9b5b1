"""A link that comes and goes, loses packets and is slow, on real parts (FAULTS 7).

The judge is the hub's storage: what was handed over is there once, in order, and nothing else. What is
desired changes while the link is down; how long after it is up the hub knows that it is done is printed.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator

import msgspec
import pytest

from agent.endpoints.unix_client import UnixHttpConnection
from agent.outbox.sqlite import SqliteOutbox
from simulators.demo.stage import Device
from tests.clock.link import Link, why_not
from tests.e2e.conftest import NUMBERS, RollOut, World, manifest
from tests.e2e.test_lifecycle import run_folder
from tests.e2e.waiting import wait_until

STREAM = "counted"
RATE_HZ = 20.0
PATIENCE_S = 120.0

pytestmark = [pytest.mark.system, pytest.mark.skipif(bool(why_not()), reason=why_not())]


class Counter:
    """Hands numbers over to the agent, as a module does, one by one, until it is stopped."""

    def __init__(self, device: Device) -> None:
        self._socket = run_folder(device) / "agent.sock"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.count = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> int:
        """Return how many the agent took."""
        self._stopping.set()
        self._thread.join()
        return self.count

    def hand_over(self) -> None:
        """Hand the next number over."""
        body = {"producer": "p" * 32, "number": self.count + 1}
        body |= {"sampled_at_us": [1], "bodies": [{"n": self.count, "x": "x" * 150}]}
        connection = UnixHttpConnection(self._socket)
        connection.request("POST", f"/v1/telemetry/{STREAM}", json.dumps(body))
        answer = connection.getresponse()
        words = answer.read()
        assert answer.status == 200, words
        connection.close()
        self.count += 1

    def _run(self) -> None:
        while not self._stopping.wait(1 / RATE_HZ):
            self.hand_over()


@pytest.fixture
def driver() -> str:
    """The one that starts everywhere: it is the link that is tried."""
    return "process"


@pytest.fixture
def link(world: World) -> Iterator[Link]:
    """A link to the hub."""
    link = Link(world.stage.https_port, world.stage.mqtt_port)
    yield link
    link.close()


@pytest.fixture
def far(world: World, link: Link, device: Device, roll_out: RollOut) -> Device:
    """A device at the other end of the link, which runs digits:1."""
    device.daemon.stop()
    device.daemon.before = link.words
    device.daemon.start("connected to the hub")
    roll_out("digits:1")
    return device


def stored(world: World, device: Device) -> list[int]:
    """Return the numbers in the hub's storage, by sequence."""
    if STREAM not in {stream.stream for stream in world.workspace.streams()}:
        return []
    rows = world.workspace.query(
        f"SELECT CAST(body->>'n' AS INTEGER) FROM {STREAM} WHERE device = '{device.name}' ORDER BY seq",
        100_000,
    ).rows
    return [int(number) for (number,) in rows]


def faults(sent: int, found: list[int]) -> list[str]:
    """Return how what is stored differs from what was handed over."""
    twice = len(found) - len(set(found))
    missing = len(set(range(sent)) - set(found))
    wrong = [f"{missing} missing"] if missing else []
    wrong += [f"{twice} twice"] if twice else []
    return wrong if found == list(range(sent)) or wrong else ["in another order"]


def desire(world: World, device: Device) -> None:
    """Let the device live a little otherwise: a new generation, and no other container."""
    lifecycle = f"{{longestDeferralSeconds: {next(NUMBERS)}}}"
    world.workspace.apply_rollout(manifest(device.name, "digits:1", lifecycle=lifecycle))


def does_it(world: World) -> bool:
    """Does the hub know that the device does what is desired?"""
    return all(device.state == "running" for device in world.workspace.rollout("test").devices)


def converged_s(world: World) -> float:
    """Return how long it takes until the hub knows that the device does what is desired."""
    began = time.monotonic()
    wait_until(lambda: does_it(world), "the device does what is desired", within_s=PATIENCE_S)
    return time.monotonic() - began


def come_and_go(
    world: World, device: Device, link: Link, *, cycles: int, off_s: float, on_s: float
) -> list[float]:
    """Let the link come and go; return how long after it was up what is desired was done, each time."""
    found = []
    ways: list[tuple[Callable[[], None], Callable[[], None]]] = [
        (link.cut, link.mend),
        (link.unplug, link.plug),
    ]
    for cycle in range(cycles):
        go, come = ways[cycle % 2]
        go()
        time.sleep(off_s / 2)
        desire(world, device)
        assert not does_it(world), "the link is cut"
        time.sleep(off_s / 2)
        come()
        found.append(converged_s(world))
        time.sleep(max(0.0, on_s - found[-1]))
    return found


def judged(world: World, device: Device, sent: int) -> list[str]:
    """Wait for the last samples; return how what is stored differs from what was handed over."""
    wait_until(lambda: len(stored(world, device)) >= sent, "all are stored", within_s=PATIENCE_S)
    return faults(sent, stored(world, device))


def test_over_a_link_that_comes_and_goes_everything_arrives_once(
    world: World, far: Device, link: Link
) -> None:
    counter = Counter(far)
    counter.start()
    waits = come_and_go(world, far, link, cycles=3, off_s=4, on_s=3)
    link.make_slow(256)
    link.make_lossy(0.3)
    desire(world, far)
    waits.append(converged_s(world))
    link.make_good()
    sent = counter.stop()
    assert judged(world, far, sent) == []
    print(f"{sent} samples; s until it was done:", *(f"{each:.1f}" for each in waits))


def test_negative_control_the_judge_sees_what_the_device_lost_and_what_came_twice(
    world: World, far: Device
) -> None:
    far.daemon.stop()
    path = far.state_dir / "outbox.db"
    outbox = SqliteOutbox(path, max_bytes=1 << 20)
    for number in range(10):
        outbox.put(STREAM, "p", number + 1, (1,), (msgspec.Raw(b'{"n":%d}' % number),))
    outbox.close()
    with sqlite3.connect(path) as rows:  # as if a PUBACK were a receipt
        rows.execute("DELETE FROM samples WHERE seq IN (4, 5)")
        rows.execute("UPDATE outbox SET pending = (SELECT COUNT(*) FROM samples)")
    far.daemon.start("connected to the hub")
    wait_until(lambda: len(stored(world, far)) >= 8, "the others are stored", within_s=PATIENCE_S)
    assert faults(10, stored(world, far)) == ["2 missing"]
    assert faults(3, [0, 1, 1, 2]) == ["1 twice"]
    assert faults(3, [0, 2, 1]) == ["in another order"]
    assert faults(3, [0, 1, 2]) == []


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_thirty_times_20_s_without_a_link(world: World, far: Device, link: Link) -> None:
    counter = Counter(far)
    counter.start()
    waits = come_and_go(world, far, link, cycles=30, off_s=20, on_s=20)
    link.make_slow(256)
    link.make_lossy(0.3)
    for _ in range(5):
        desire(world, far)
        waits.append(converged_s(world))
        time.sleep(30)
    link.make_good()
    sent = counter.stop()
    assert judged(world, far, sent) == []
    print(f"{sent} samples; s until it was done:", *(f"{each:.1f}" for each in waits))
