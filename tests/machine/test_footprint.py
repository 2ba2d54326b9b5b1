"""The agent's memory: what a daemon without modules may take, at once and after minutes of trouble."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.agent import Bench
from benchmarks.packaged_agent import packaged_agent, why_not
from benchmarks.running_hub import running_hub
from benchmarks.watching import MIB, growing, look, parts, slope, told
from simulators.demo.stage import Daemon
from tests.drivers.rig import runc_is_missing
from tests.machine.device import Enrolled

MOST_PSS_BYTES = 30 * MIB
SOAK_S, WARM_UP_S = 600.0, 60.0


def test_a_daemon_without_modules_is_small(device: Enrolled, daemon: Daemon) -> None:
    assert look(daemon.pid, device.state).pss_bytes <= MOST_PSS_BYTES


def test_negative_control_a_process_that_loads_more_is_seen(device: Enrolled) -> None:
    """This one has the hub's libraries, and the tests'."""
    import duckdb  # noqa: F401

    assert look(os.getpid(), device.folder).pss_bytes > MOST_PSS_BYTES


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A hub, and the agent as its Debian package installs it."""
    if reason := why_not() or runc_is_missing():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="hl-") as name:
        program = packaged_agent(Path(name) / "package")
        with running_hub(Path(name) / "stage") as stage:
            yield Bench(stage, program, SOAK_S)


@pytest.mark.soak
@pytest.mark.system
@pytest.mark.timeout(1200)
def test_ten_minutes_of_cuts_and_reports_leave_nothing_behind(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    watched = bench.busy("no module", SOAK_S, module=False)
    looks = list(parts(watched.looks, WARM_UP_S))
    with capsys.disabled():
        print(
            f"\n{watched.reconnects} reconnects in {SOAK_S:g} s: PSS {looks[-1].pss_bytes / MIB:.1f} MiB, "
            f"RSS {looks[-1].rss_bytes / MIB:.1f} MiB, "
            f"{told(slope(looks, lambda one: one.rss_bytes))} MiB/h, {looks[-1].fds} descriptors, "
            f"{looks[-1].threads} threads"
        )
    assert watched.reconnects > SOAK_S / 20, "the line was not cut"
    assert growing(looks) == []
    assert max(each.pss_bytes for each in looks) <= MOST_PSS_BYTES
