"""Named volumes: kept through everything, and gone with their module where that was said."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from agent.reconcile.records import ContainerRecords
from agent.volumes import Volumes
from contract.access import Volume
from tests.agent.test_planner import V1

OWNER = (os.geteuid(), os.getegid())


def dig(folder: Path) -> None:
    """Make folders deeper than Python may recurse."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)


def test_a_volume_is_kept_until_its_module_is_forgotten_and_longer_unless_said(tmp_path: Path) -> None:
    volumes = Volumes(tmp_path / "volumes")
    kept = volumes.open("m", Volume(target="/k", name="kept"), OWNER)
    lost = volumes.open("m", Volume(target="/l", name="lost", keep=False), OWNER)
    other = volumes.open("n", Volume(target="/l", name="lost", keep=False), OWNER)
    for folder in (kept, lost, other):
        (folder / "file").write_text("x")
    again = Volumes(tmp_path / "volumes")
    assert (again.open("m", Volume(target="/l", name="lost", keep=False), OWNER) / "file").exists()
    again.forget("m")
    again.forget("m")
    assert (kept / "file").exists()
    assert (other / "file").exists()
    assert not lost.exists()
    assert list(again.open("m", Volume(target="/l", name="lost"), OWNER).iterdir()) == []


def test_what_was_said_last_counts(tmp_path: Path) -> None:
    volumes = Volumes(tmp_path / "volumes")
    folder = volumes.open("m", Volume(target="/l", name="v", keep=False), OWNER)
    volumes.open("m", Volume(target="/l", name="v"), OWNER)
    volumes.forget("m")
    assert folder.exists()


def test_a_volume_that_a_module_made_deep_or_full_of_links_is_deleted_and_nothing_else(
    tmp_path: Path,
) -> None:
    outside = tmp_path / "outside"
    outside.write_text("x")
    volumes = Volumes(tmp_path / "volumes")
    folder = volumes.open("m", Volume(target="/l", name="v", keep=False), OWNER)
    (folder / "link").symlink_to(outside)
    dig(folder)
    volumes.forget("m")
    assert not folder.exists()
    assert outside.read_text() == "x"


def test_a_container_that_dug_deep_is_cleared_away(tmp_path: Path) -> None:
    """Else each round of the agent would end there."""
    records = ContainerRecords(tmp_path / "containers")
    record = records.create(V1, "listener")
    dig(records.run_folder(record.id))
    if sys.version_info < (3, 12):
        with pytest.raises(RecursionError):  # the control
            shutil.rmtree(records.run_folder(record.id))
    records.remove(record.id)
    assert not records.home(record.id).exists()
    assert records.all() == ()
