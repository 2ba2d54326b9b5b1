"""FAULTS 10: the N-th write, fsync, rename, ... of the agent fails with EIO or ENOSPC.

Afterwards it has stopped or tried again, the stored document's set runs, and what it said that it has, of
documents and of samples, is on the disk.
"""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from agent.endpoints.module_api import Hooks, ModuleApi
from agent.outbox.sqlite import SqliteOutbox
from tests.faults.handover import Hand
from tests.faults.rig import GENEROUS_S, MODULES, UNKNOWN, FaultFoundError, Rig
from tests.faults.summary import Summary
from tests.faults.tracing import (
    STARTED,
    Point,
    by_kind,
    counted,
    failing,
    points_of,
    spread,
    traced,
    why_not,
)

pytestmark = pytest.mark.system
FAILING = (
    "openat", "write", "pwrite64", "fsync", "fdatasync", "syncfs", "ftruncate", "rename", "renameat2",
    "unlink", "unlinkat", "rmdir", "mkdir", "link", "linkat", "symlink", "chmod", "bind",
)  # fmt: skip
ERRORS = ("EIO", "ENOSPC")
POINTS = 5
TRIES, TRY_WAIT_S, WITHIN_S = 6, 0.1, 12.0
INJECTED = re.compile(r"^(\d+)\s.*\(INJECTED\)", re.MULTILINE)


@pytest.fixture
def rig(folder: Path) -> Iterator[Rig]:
    """A device that runs its first document."""
    if reason := why_not():
        pytest.skip(reason)
    rig = Rig(folder)
    yield rig
    rig.close()


def points(rig: Rig, hand: Hand) -> list[Point]:
    """Return every point of an update, with samples handed over meanwhile."""
    log = rig.folder / "calls"
    with traced(rig.daemon.pid, log, "-e", f"trace=execve,{','.join(FAILING)}"):
        rig.apply(*rig.next())
        rig.settled()
        hand.give()
        time.sleep(0.3)
    return [point for point in points_of(counted(log)) if point.call != "execve"]


def fail_at(rig: Rig, hand: Hand, point: Point, error: str) -> str:
    """Update while the call at ``point`` fails, and judge; return what the agent did about it."""
    log = rig.folder / "fail"
    generation, version = rig.next()
    with traced(rig.daemon.pid, log, *failing(point, error)):
        for _ in range(TRIES):
            hand.give()
            if rig.apply(generation, version) or not rig.alive():
                break
            time.sleep(TRY_WAIT_S)
        _wait(rig, hand)
    text = log.read_text()
    hit = INJECTED.findall(text)
    if not rig.alive():
        rig.start()
        outcome = "stopped; after its restart all is well"
    else:
        outcome = "tried again" if hit else "not reached"
    if rig.accepted < generation and rig.apply(generation, version) is None:
        raise FaultFoundError(f"{point} {error}: the document is never taken\n{rig.daemon.log[-3000:]}")
    if set(hit) & set(STARTED.findall(text)):
        # strace counts in each process: all that start a module fail there, so its version may be given up.
        until(lambda: each_serves(rig), f"{point} {error}: each module serves, or was given up and says so")
        return "what starts a module failed each time; the new version serves, or the old one and it is said"
    try:
        rig.settled()
    except FaultFoundError as found:
        raise FaultFoundError(f"{point} {error}, {outcome}: {found}\n{text[-2000:]}") from found
    return outcome


def each_serves(rig: Rig) -> bool:
    """Does each module run once and answer, in the stored version, or in the one before with the reason?"""
    stored, report, running = rig.stored(), rig.reported(), rig.running()
    if stored is None or report is None or running.keys() != set(MODULES):
        return False
    wanted = rig.version_of(stored)
    said = {module.name for module in report.modules if module.state == "rolled_back" and module.reason}
    return all(
        versions == [rig.served(name)]
        and versions != [UNKNOWN]
        and (versions == [wanted] or (report.generation == stored.generation and name in said))
        for name, versions in running.items()
    )


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + GENEROUS_S
    while not holds():
        if time.monotonic() > deadline:
            raise FaultFoundError(f"never: {what}")
        time.sleep(TRY_WAIT_S)


def _wait(rig: Rig, hand: Hand) -> None:
    deadline = time.monotonic() + WITHIN_S
    while rig.alive() and time.monotonic() < deadline:
        hand.give()
        report = rig.reported()
        if report is not None and report.converged and report.generation == rig.accepted:
            return
        time.sleep(TRY_WAIT_S)


def judge_outbox(rig: Rig, hand: Hand) -> None:
    """End the agent as a crash does, look at its outbox, and start it again."""
    rig.daemon.kill()
    assert hand.faults() == []
    rig.start()


def run(rig: Rig, chosen: list[Point], summary: Summary) -> Hand:
    hand = Hand(rig.state)
    for number, point in enumerate(chosen):
        error = ERRORS[number % len(ERRORS)]
        summary.add(f"{error}: {fail_at(rig, hand, point, error)}")
        if number % 10 == 9:
            judge_outbox(rig, hand)
    judge_outbox(rig, hand)
    assert hand.taken > 0
    return hand


def test_when_a_call_fails_it_is_tried_again_or_the_agent_stops(rig: Rig) -> None:
    rig.first()
    summary = Summary("calls that failed")
    run(rig, spread(by_kind(points(rig, Hand(rig.state)), 2), POINTS), summary)
    assert summary.total == POINTS


@pytest.mark.soak
@pytest.mark.timeout(10800)
def test_each_call_of_an_update_fails_once(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    rig.first()
    found = points(rig, Hand(rig.state))
    summary = Summary(f"calls of an update that failed, of {len(found)}")
    hand = run(rig, found, summary)
    summary.notes.append(f"samples taken and on the disk: {hand.taken}; answers: {dict(hand.answers)}")
    summary.show(capsys)


def test_a_disk_that_fails_under_the_outbox_stops_nothing_else(rig: Rig) -> None:
    """Each write of SQLite fails: modules are told so, and all else goes on."""
    rig.first()
    hand = Hand(rig.state)
    assert hand.give() == 200
    files = [option for name in ("outbox.db", "outbox.db-wal") for option in ("-P", str(rig.state / name))]
    calls = "pwrite64,write,fsync,fdatasync,ftruncate"
    with traced(
        rig.daemon.pid, rig.folder / "log", *files, "-e", f"trace={calls}", "-e", f"inject={calls}:error=EIO"
    ):
        assert {hand.give() for _ in range(5)} == {503}
        assert rig.apply(*rig.next()) is not None
        rig.settled()
    assert hand.give() == 200
    rig.daemon.kill()
    assert (hand.faults(), hand.taken) == ([], 2)


class LyingOutbox(SqliteOutbox):
    """The negative control: once its disk is broken it says that it has what it could not store."""

    broken = False

    def put(
        self,
        stream: str,
        producer: str,
        number: int,
        sampled_at_us: tuple[int, ...],
        bodies: tuple[msgspec.Raw, ...],
    ) -> int:
        """Store, or say so."""
        return 1 if self.broken else super().put(stream, producer, number, sampled_at_us, bodies)


def test_negative_control_a_false_yes_is_seen(folder: Path) -> None:
    outbox = LyingOutbox(folder / "outbox.db", max_bytes=1 << 20)
    hooks = Hooks(outbox=outbox, ready=lambda _: None, defer=lambda *_: 0.0, stored=lambda: None)
    api = ModuleApi("a-1", folder / "agent.sock", hooks)
    hand = Hand(folder)
    assert hand.give(folder / "agent.sock") == 200
    assert hand.faults() == []
    outbox.broken = True
    assert hand.give(folder / "agent.sock") == 200
    api.close()
    outbox.close()
    assert hand.faults() == ["2 was taken and is not there"]
