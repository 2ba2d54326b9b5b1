"""The power of a device is cut while its modules hand over samples: each that was answered for is somewhere.

The judges stand outside: the module knows what was answered with 200, the hub what it was given. A sample of
the first that is neither in the hub nor in the outbox was lost; of two samples with one sequence the hub
would keep one.
"""

import ctypes.util
import http.client
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.endpoints.unix_client import UnixHttpConnection
from agent.outbox.sqlite import SqliteOutbox
from simulators.disk import Disk, why_not
from tests.power.buffering import MAX_BYTES
from tests.power.writers import standing_still

pytestmark = pytest.mark.system
CUTS = 3
SOAK_CUTS = 200
TRIES = 10
PROGRAM = Path(__file__).with_name("buffering.py")
STREAMS = ("meter", "alarms")
SAMPLES = 5


@dataclass
class Module:
    """Hands over numbered samples of one stream, five at a time, and keeps which were answered for."""

    stream: str
    socket: Path
    answered: set[int] = field(default_factory=set)
    _handed: int = 0
    _lives: int = 0

    def run(self) -> None:
        """Go on until the agent is gone."""
        self._lives += 1
        connection = UnixHttpConnection(self.socket)
        with closing(connection):
            for number in range(1, 1_000_000):
                first, self._handed = self._handed, self._handed + SAMPLES
                numbers = range(first, self._handed)
                if not self._hand_over(connection, number, numbers):
                    return
                self.answered |= set(numbers)

    def _hand_over(self, connection: UnixHttpConnection, number: int, numbers: range) -> bool:
        body = {
            "producer": f"{self.stream}-{self._lives}",
            "number": number,
            "sampled_at_us": [time.time_ns() // 1000] * len(numbers),
            "bodies": [{"n": n} for n in numbers],
        }
        try:
            connection.request("POST", f"/v1/telemetry/{self.stream}", json.dumps(body))
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return False
        return answer.status == 200


class Device:
    """An outbox on a disk of its own; the hub's store and the modules are elsewhere."""

    def __init__(self, folder: Path) -> None:
        self.disk = Disk(folder)
        self.file = self.disk.root / "outbox.db"
        self._socket = folder / "agent.sock"
        self.modules = [Module(stream, self._socket) for stream in STREAMS]
        self.stored: dict[str, dict[tuple[str, int], int]] = defaultdict(dict)
        self.faults: list[str] = []

    def work_and_cut(self, work_s: float, env: dict[str, str] | None = None) -> None:
        """Let modules and hub work for a while, cut the power, and bring the disk back."""
        with subprocess.Popen(
            [sys.executable, str(PROGRAM), str(self.file), str(self._socket)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | (env or {}),
        ) as agent:
            assert agent.stdout is not None
            assert agent.stdout.readline() == "serves\n"
            threads = [threading.Thread(target=module.run) for module in self.modules]
            for thread in threads:
                thread.start()
            time.sleep(work_s)
            with standing_still(agent.pid):
                self.disk.cut()
            time.sleep(0.02)  # whoever is asked from now on must not say yes
            agent.kill()
            for line in agent.stdout:
                self._store(*json.loads(line))
            for thread in threads:
                thread.join()
        self.disk.unmount()
        self.disk.mount()

    def _store(self, stream: str, epoch: str, first: int, numbers: list[int]) -> None:
        for place, number in enumerate(numbers):
            held = self.stored[stream].setdefault((epoch, first + place), number)
            if held != number:
                self.faults.append(f"{stream} {first + place}: was sample {held}, came as {number}")

    def judge(self) -> list[str]:
        """Return what is wrong: a damaged file, lost samples, a sequence with two samples."""
        with closing(sqlite3.connect(self.file)) as rows:
            (verdict,) = rows.execute("PRAGMA integrity_check").fetchone()
        found = list(self.faults) if verdict == "ok" else [*self.faults, f"the file is damaged: {verdict}"]
        outbox = SqliteOutbox(self.file, max_bytes=MAX_BYTES)
        try:
            for module in self.modules:
                there = set(self.stored[module.stream].values()) | waiting(outbox, module.stream)
                lost = module.answered - there
                found += [f"{module.stream}: {len(lost)} samples lost"] if lost else []
        finally:
            outbox.close()
        return found


def waiting(outbox: SqliteOutbox, stream: str) -> set[int]:
    """Return the numbers of all samples that wait in the outbox."""
    found: set[int] = set()
    after = outbox.mark(stream)
    while (batch := outbox.batch(stream, after, 10_000)) is not None:
        found |= {json.loads(bytes(body))["n"] for body in batch.bodies}
        after = batch.first + len(batch.bodies) - 1
    return found


@pytest.fixture
def device() -> Iterator[Device]:
    if reason := why_not():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="hl-cut-"))  # a socket's path may have 107 bytes
    device = Device(folder)
    yield device
    device.disk.unmount()
    shutil.rmtree(folder)


def cut_and_judge(device: Device, cuts: int, seed: int) -> None:
    moments = random.Random(seed)
    for _ in range(cuts):
        device.work_and_cut(moments.uniform(0.05, 0.5))
        assert device.judge() == []
    assert all(len(module.answered) > cuts * SAMPLES for module in device.modules)
    assert all(device.stored[stream] for stream in STREAMS)


def test_what_a_module_was_answered_for_is_there_after_power_cuts(device: Device) -> None:
    cut_and_judge(device, CUTS, seed=1)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_what_a_module_was_answered_for_is_there_after_many_power_cuts(
    device: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    cut_and_judge(device, SOAK_CUTS, seed=2)
    answered = sum(len(module.answered) for module in device.modules)
    stored = sum(len(rows) for rows in device.stored.values())
    with capsys.disabled():
        print(f"\n{SOAK_CUTS} power cuts: {answered} samples answered for, {stored} in the hub, 0 lost")


def test_negative_control_a_device_whose_syncs_do_nothing_loses(device: Device) -> None:
    library = ctypes.util.find_library("eatmydata")
    if library is None:
        pytest.skip("there is no libeatmydata (Debian, Ubuntu: apt install eatmydata)")
    device.work_and_cut(0.2)
    for _ in range(TRIES):  # another test's sync(2) just before the cut saves everything
        device.work_and_cut(0.3, {"LD_PRELOAD": library})
        if device.judge():
            return
    pytest.fail("the judge saw nothing")
