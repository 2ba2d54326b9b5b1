"""The disk does what it is there for: what was synced stays, what was not is gone."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.power.disk import Disk, why_not

pytestmark = pytest.mark.system


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
