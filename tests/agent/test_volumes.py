"""Named volumes: kept through everything, and gone with their module where that was said."""

import os
from pathlib import Path

from agent.volumes import Volumes
from contract.access import Volume

OWNER = (os.geteuid(), os.getegid())


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
    here = os.open(folder, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    volumes.forget("m")
    assert not folder.exists()
    assert outside.read_text() == "x"
