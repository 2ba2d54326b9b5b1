"""FAULTS 9: a disk of 8 MiB is full to its last byte, while the agent runs and at its start."""

import contextlib
import os
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.disks import small_disk
from tests.faults.handover import Hand
from tests.faults.rig import Rig
from tests.faults.summary import Summary

pytestmark = pytest.mark.system
REPORT_S, REPORTS = 0.4, 4
FILLS = 4
UNSEEN = 3
"""A version whose image was never there: that of the last one may be still."""
FULL_S, SOAK_FULL_S = 2.5, 70.0
GENEROUS_S = 40.0
KIB = 1024


@pytest.fixture
def rig(folder: Path, request: pytest.FixtureRequest) -> Iterator[Rig]:
    """A device on a small disk that runs its first document."""
    (folder / "d").mkdir()
    image = folder / "disk.img" if getattr(request, "param", "") == "ext4" else None
    with small_disk(folder / "d/state", "8m", image):
        rig = Rig(folder, versions=UNSEEN, report_s=REPORT_S, outbox_bytes=KIB * KIB)
        yield rig
        rig.close()


def fill(rig: Rig, *, leaving: int = 0) -> Path:
    """Fill the disk to its last page, but for ``leaving`` bytes."""
    filler = rig.state / "filler"
    chunk = 4096
    with filler.open("ab", buffering=0) as file:
        for _ in range(FILLS):  # ext4 gives some back when it has written its journal
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(chunk))
            os.sync()
        if leaving:
            file.truncate(max(0, filler.stat().st_size - leaving) // chunk * chunk)
    return filler


def watch(rig: Rig, hand: Hand, seconds: float, *, version: int) -> None:
    """Look at the device for a while, until several reports came: the old set runs, whole, at every look."""
    seen: set[datetime] = set()
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(seen) < REPORTS:
        assert time.monotonic() < end + GENEROUS_S, f"only {len(seen)} reports came"
        hand.give()
        assert rig.alive(), f"the agent ended:\n{rig.daemon.log[-3000:]}"
        assert rig.running() == {"a": [version], "b": [version]}
        assert (rig.served("a"), rig.served("b")) == (version, version)
        report = rig.reported()
        if report is not None:
            seen.add(report.at)
        time.sleep(0.1)


def until(what: Callable[[], bool]) -> float:
    """Wait until something is so; return the seconds that took."""
    began = time.monotonic()
    while not what():
        assert time.monotonic() - began < GENEROUS_S
        time.sleep(0.02)
    return time.monotonic() - began


def through(rig: Rig, seconds: float, summary: Summary) -> None:
    """Fill the disk, judge, make room, judge: while it runs, in the middle of a pull, and at a start."""
    rig.first()
    hand = Hand(rig.state)
    assert hand.give() == 200
    # To the last byte: the document does not fit; where a block is found for it, its image does not.
    filler = fill(rig)
    rig.apply(*rig.next())
    watch(rig, hand, seconds, version=1)
    filler.unlink()
    summary.add("full while it ran: hand-overs go on", until(lambda: hand.give() == 200))
    version = rig.settled().version
    # The document fits, its image does not.
    filler = fill(rig, leaving=96 * KIB)
    assert rig.apply(rig.next()[0], UNSEEN) is not None
    watch(rig, hand, seconds, version=version)
    assert rig.reported_states() == {"pulling"}
    filler.unlink()
    settled = rig.settled()
    assert settled.version == UNSEEN
    summary.add("full during a pull: the new set runs", settled.seconds)
    # A start, after a clean stop, which takes the files away that SQLite needs.
    rig.daemon.stop()
    filler = fill(rig)
    with pytest.raises(sqlite3.OperationalError):  # the control: the disk is as full as that
        sqlite3.connect(rig.state / "outbox.db").execute("CREATE TABLE more (one)")
    rig.start()
    watch(rig, hand, seconds, version=settled.version)
    filler.unlink()
    summary.add("full at its start: hand-overs go on", until(lambda: hand.give() == 200))
    rig.daemon.kill()
    assert hand.faults() == []
    summary.notes.append(f"restarts: 0; answers to hand-overs: {dict(hand.answers)}")


def test_a_full_disk_is_a_state_and_no_end(rig: Rig) -> None:
    through(rig, FULL_S, Summary("full disks"))


def test_a_disk_that_takes_nothing_at_the_start_is_one_clear_error(rig: Rig) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(rig.state)], check=True)
    done = rig.device.run("run")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "Read-only file system" in done.stderr
    assert "[state-write-failed]" in done.stderr
    subprocess.run(["mount", "-o", "remount,rw", str(rig.state)], check=True)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("rig", ["tmpfs", "ext4"], indirect=True)
def test_a_disk_that_is_full_for_long(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    """So long that each wait between two tries would have grown to its bound."""
    summary = Summary(f"times that a disk was full, for {SOAK_FULL_S:g} s each")
    through(rig, SOAK_FULL_S, summary)
    summary.show(capsys)
