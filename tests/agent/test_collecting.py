"""What Python keeps for later, and what it does not find by itself, goes each ten seconds."""

import gc
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.app import Agent
from agent.collecting import EVERY_S, Collector
from agent.service import ServiceManager
from agent.settings import Settings
from tests.e2e.waiting import wait_until
from tests.machine.device import Enrolled

LENGTHS, EACH = range(1, 10), 1000
KEPT_BLOCKS = len(LENGTHS) * EACH // 2
"""Half of the tuples made below: elsewhere in the process some are kept and used meanwhile."""


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    """This process is not a daemon: what it froze is looked at again."""
    yield
    gc.unfreeze()


class Clock:
    """Seconds, set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def make_tuples() -> None:
    """Make tuples of lengths that are not known before, and free them, as reading rows does."""
    for length in LENGTHS:
        for _ in range(EACH):
            tuple(each for each in range(length))


def kept_after(seconds: float) -> int:
    """Return how many blocks of memory are held of freed tuples once a collector looked after ``seconds``."""
    clock = Clock()
    collector = Collector(monotonic=clock)
    collector.begin()
    before = sys.getallocatedblocks()
    make_tuples()
    clock.now = seconds
    collector.look()
    return sys.getallocatedblocks() - before


def test_what_freed_tuples_hold_is_given_back_each_ten_seconds() -> None:
    assert kept_after(EVERY_S) < KEPT_BLOCKS


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="Python keeps fewer tuples")
def test_negative_control_python_keeps_them_until_it_collects_all() -> None:
    assert kept_after(EVERY_S - 1) > KEPT_BLOCKS


def test_it_collects_when_its_time_has_come_and_not_before() -> None:
    clock, collected = Clock(), list[float]()
    collector = Collector(collect=lambda: collected.append(clock.now), monotonic=clock)
    for second in range(int(3 * EVERY_S) + 1):
        clock.now = float(second)
        collector.look()
    assert collected == [EVERY_S, 2 * EVERY_S, 3 * EVERY_S]


def test_a_running_agent_collects_again_and_again(tmp_path: Path) -> None:
    device, collected, stopping = Enrolled(tmp_path / "d"), list[None](), threading.Event()
    settings = Settings(state_dir=device.state, driver="process")
    agent = Agent(settings, collector=Collector(every_s=0, collect=lambda: collected.append(None)))
    running = threading.Thread(target=agent.run, args=(stopping, ServiceManager({})))
    running.start()
    try:
        wait_until(lambda: len(collected) >= 3, "it collects")
    finally:
        stopping.set()
        running.join()
