"""The disk does what it is there for: what was synced stays, what was not is gone."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from simulators.disk import Disk, why_not
from tests.power.appender import RECORD_BYTES
from tests.power.writers import standing_still

pytestmark = pytest.mark.system
APPENDER = Path(__file__).with_name("appender.py")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if reason := why_not():
        pytest.skip(reason)
    disk = Disk(tmp_path)
    yield disk
    disk.unmount()


def test_what_was_synced_is_there_after_a_cut_and_nothing_else(disk: Disk) -> None:
    with (disk.root / "synced").open("wb") as file:
        file.write(b"kept")
        file.flush()
        os.fsync(file.fileno())
    (disk.root / "unsynced").write_bytes(b"gone")
    disk.cut()
    with pytest.raises(OSError, match="Input/output error"):
        (disk.root / "later").write_bytes(b"refused")
    disk.unmount()
    disk.mount()
    assert (disk.root / "synced").read_bytes() == b"kept"
    assert {path.name for path in disk.root.iterdir()} == {"synced", "lost+found"}


def test_a_disk_that_another_namespace_still_has_is_mounted_once_it_let_go(disk: Disk) -> None:
    """A container that starts while the power is cut has the old disk among its mounts, for a while."""
    (disk.root / "synced").write_bytes(b"kept")
    os.sync()
    holds = ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo there; sleep 2"]
    with subprocess.Popen(holds, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "there\n"
        disk.cut()
        disk.unmount()
        disk.mount()
        assert holder.poll() is not None, "the dead disk was mounted again"
    (disk.root / "later").write_bytes(b"taken")
    assert (disk.root / "synced").read_bytes() == b"kept"


def told_and_there(disk: Disk, work_s: float, *, stopped: bool) -> tuple[int, int]:
    """Cut the power under a program that appends; return how many records it told of and how many stay."""
    file = disk.root / "records"
    file.unlink(missing_ok=True)
    with subprocess.Popen(
        [sys.executable, str(APPENDER), str(file)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "1\n"
        time.sleep(work_s)
        with standing_still(writer.pid) if stopped else nullcontext():
            disk.cut()
        told = [1, *map(int, writer.stdout)]
    disk.unmount()
    disk.mount()
    return told[-1], file.stat().st_size // RECORD_BYTES


def test_what_a_writer_that_stood_still_was_told_is_there(disk: Disk) -> None:
    told, there = told_and_there(disk, 0.2, stopped=True)
    assert there >= told > 1


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_what_a_writer_was_told_is_there_after_many_cuts(disk: Disk) -> None:
    moments = random.Random(4)
    for _ in range(250):
        told, there = told_and_there(disk, moments.uniform(0.05, 0.3), stopped=True)
        assert there >= told


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_negative_control_an_fsync_that_is_under_way_is_told_a_lie(disk: Disk) -> None:
    """Why writers stand still: it is seen now and then, and once is enough here."""
    moments = random.Random(5)
    cuts = (told_and_there(disk, moments.uniform(0.05, 0.3), stopped=False) for _ in range(600))
    assert any(there < told for told, there in cuts)
