"""FAULTS 1: the agent is killed anywhere in an update; afterwards exactly the stored document's set runs.

strace lets the agent die instead of making its N-th call of a kind: whatever it was about to do is not done.
Between two such points lies no change of the disk, of processes or of sockets. More kills come at random
times, also while the agent starts again.
"""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.reconcile.records import AgentRecords
from tests.drivers.rig import runc_is_missing
from tests.faults.rig import SETTLES_WITHIN_S, FaultFoundError, Rig
from tests.faults.summary import Summary
from tests.faults.tracing import (
    KILLED,
    OF_A_CONTAINER,
    Point,
    by_kind,
    counted,
    killing,
    points_of,
    spread,
    traced,
    why_not,
)

pytestmark = pytest.mark.system
CHANGING = (
    "openat", "write", "pwrite64", "fsync", "fdatasync", "syncfs", "ftruncate", "rename", "renameat2",
    "unlink", "unlinkat", "rmdir", "mkdir", "link", "linkat", "symlink", "chmod", "clone3", "vfork", "clone",
    "socket", "bind", "connect", "sendto", "pidfd_send_signal", "kill", "wait4", "mount", "umount2",
)  # fmt: skip
POINTS = 5
SOAK_POINTS_OF_A_CALL = {"process": 40, "runc": 14}
SOAK_RANDOM = {"process": 40, "runc": 40}
QUIET_S = 0.4
MODULE_KILLED = "not counted: the module's program was killed"
DIES_WITHIN_S = 8.0


@pytest.fixture
def rig(folder: Path, request: pytest.FixtureRequest) -> Iterator[Rig]:
    """A device that runs its first document."""
    kind = getattr(request, "param", "process")
    if reason := why_not() or (runc_is_missing() if kind == "runc" else ""):
        pytest.skip(reason)
    rig = Rig(folder, kind)
    yield rig
    rig.close()


def points(rig: Rig) -> list[Point]:
    """Return every point of an update to a version that is not on the disk."""
    log = rig.folder / "calls"
    with traced(rig.daemon.pid, log, "-e", f"trace={','.join(CHANGING)}"):
        rig.apply(*rig.next())
        rig.settled()
        time.sleep(QUIET_S)
    return points_of(counted(log))


def killed_at(rig: Rig, point: Point) -> str:
    """Update while the agent is to die at ``point``; return how it died."""
    log, pid = rig.folder / "kill", rig.daemon.pid
    with traced(pid, log, *killing(point)):
        rig.apply(*rig.next())
        deadline = time.monotonic() + DIES_WITHIN_S
        while rig.alive() and time.monotonic() < deadline:
            if _only_a_child(log, pid):
                time.sleep(QUIET_S)
                break
            if _is_through(rig):
                time.sleep(QUIET_S)
                break
            time.sleep(0.01)
    how = "killed after it"
    if not rig.alive():
        how = "killed by strace"
    elif _only_a_child(log, pid):
        how = "its child killed, then it"
    rig.daemon.kill()
    text = log.read_text()
    return MODULE_KILLED if set(KILLED.findall(text)) & set(OF_A_CONTAINER.findall(text)) else how


def _only_a_child(log: Path, pid: int) -> bool:
    text = log.read_text() if log.exists() else ""
    return any(int(found) != pid for found in KILLED.findall(text)) and str(pid) not in KILLED.findall(text)


def _is_through(rig: Rig) -> bool:
    report = rig.reported()
    return report is not None and report.converged and report.generation == rig.accepted


def run(rig: Rig, chosen: list[Point], summary: Summary) -> None:
    """Kill the agent at each point, start it again, and judge."""
    for point in chosen:
        before = rig.stored()
        how = killed_at(rig, point)
        if how == MODULE_KILLED:
            # Then its version may have been given up, and that is what the other scenario is about.
            summary.add(how)
            rig.start()
            continue
        judge(rig, str(point), how, before.generation if before else 0, summary)


def run_at_random(rig: Rig, kills: int, summary: Summary) -> None:
    """Kill it at random times of an update, and now and then again while it starts."""
    moments = random.Random(1)
    for number in range(kills):
        before = rig.stored()
        rig.apply(*rig.next())
        time.sleep(moments.uniform(0, 0.9))
        rig.daemon.kill()
        if moments.random() < 0.5:
            rig.daemon.begin()
            time.sleep(moments.uniform(0.1, 0.9))
            rig.daemon.kill()
        judge(rig, f"random {number}", "killed at random", before.generation if before else 0, summary)


def judge(rig: Rig, what: str, how: str, before: int, summary: Summary) -> None:
    """Start the agent, wait for its set, and count what it is."""
    rig.start()
    try:
        settled = rig.settled()
    except FaultFoundError as found:
        raise FaultFoundError(f"{what}, {how}: {found}") from found
    assert not rig.left_in_driver(), f"{what}: {rig.left_in_driver()} is known to the driver alone"
    summary.add(f"{how}: the {'old' if settled.generation == before else 'new'} set runs", settled.seconds)


def test_killed_at_points_of_an_update_it_runs_the_old_or_the_new_set(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    rig.first()
    summary = Summary("points of an update at which the agent was killed")
    chosen = spread(by_kind(points(rig), 2), POINTS)
    run(rig, chosen, summary)
    run_at_random(rig, 1, summary)
    assert summary.total == POINTS + 1


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("rig", ["process", "runc"], indirect=True)
def test_killed_at_200_points_of_an_update(
    rig: Rig, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    rig.first()
    found = points(rig)
    summary = Summary(f"{rig.kind}: points of an update at which the agent was killed, of {len(found)}")
    run(rig, by_kind(found, SOAK_POINTS_OF_A_CALL[rig.kind]), summary)
    run_at_random(rig, SOAK_RANDOM[rig.kind], summary)
    summary.show(capsys)
    assert summary.longest_s < SETTLES_WITHIN_S


def test_negative_controls_the_judge_sees_a_mixed_set_and_a_lost_document(rig: Rig) -> None:
    """What no kill may lead to, made by hand, is seen."""
    rig.first()
    old = rig.stored()
    assert old is not None
    rig.apply(*rig.next())
    rig.settled()
    new = rig.stored()
    assert new is not None
    AgentRecords(rig.state / "desired").save_desired(old)
    with pytest.raises(FaultFoundError, match="generation 1 is stored; 2 was acknowledged"):
        rig.settled()
    rig.daemon.kill()
    assert rig.runs(new)
    assert not rig.runs(old)
    rig.kill_one("b")
    assert not rig.runs(new)
