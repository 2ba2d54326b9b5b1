"""Logs of real containers are set aside while they print, by whichever agent is there."""

import re
import signal
import time

import pytest

from agent.container_logs.rotation import rotate
from agent.settings import Logs
from tests.drivers.rig import Rig, exited, until

RUNC = [pytest.param(name, marks=pytest.mark.system) for name in ("runc", "runc-userns")]
every_real = pytest.mark.parametrize("rig", ["process", *RUNC], indirect=True)
BOUNDS = Logs(max_bytes=128 * 1024, files=3)
LINE = re.compile(rb"(\d{9}) (x{69}|the end)\n")


@every_real
def test_a_container_that_prints_all_the_time_stays_within_its_bounds(rig: Rig) -> None:
    spec = rig.spec("chatter")
    driver = rig.start(spec)
    parts = [spec.log.with_name(f"{spec.log.name}.{number}") for number in (3, 2, 1)]
    most = rotations = 0

    def enough() -> bool:
        nonlocal most, rotations
        rotations += rotate(spec.log, BOUNDS)
        size = sum(path.stat().st_size for path in (*parts, spec.log) if path.exists())
        most = max(most, size)
        time.sleep(0.005)
        return rotations >= 6

    until("six rotations", enough)
    driver = rig.driver()  # another agent: the container holds its log itself
    driver.signal("one", signal.SIGTERM)
    exited(driver, "one")
    driver.remove("one")
    lines = b"".join(path.read_bytes() for path in (*parts, spec.log)).splitlines(keepends=True)
    numbers = [int(found[1]) for line in lines if (found := LINE.fullmatch(line))]
    assert len(numbers) >= len(lines) - 8, "a cut may tear one line at each side of a part"
    assert numbers == sorted(numbers)
    assert lines[-1].endswith(b"the end\n"), "what it printed last is there"
    assert numbers[0] > 0, "the oldest were dropped"
    assert most < (BOUNDS.files + 1) * BOUNDS.max_bytes * 2


@every_real
def test_negative_control_without_rotation_the_log_grows(rig: Rig) -> None:
    spec = rig.spec("chatter")
    driver = rig.start(spec)

    def grown() -> bool:
        return spec.log.exists() and spec.log.stat().st_size > BOUNDS.max_bytes * 4

    until("the log is beyond all bounds", grown)
    driver.signal("one", signal.SIGKILL)
    exited(driver, "one")
    driver.remove("one")
