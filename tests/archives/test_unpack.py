"""Hostile archives change nothing outside and leave nothing behind; good ones come out whole."""

import dataclasses
import gzip
import hashlib
import os
import tarfile
from pathlib import Path

import pytest

from cloud_hub.archives.errors import ArchiveRefusedError, ArchiveStorageError
from cloud_hub.archives.limits import ArchiveLimits
from cloud_hub.archives.unpack import Unpacked, unpack
from cloud_hub.confinement.limits import MIB
from tests.archives import corpus
from tests.archives.corpus import CORPUS, ESCAPES, TARS, member, tar, zipped

# Processor time, not the clock's: a busy machine must not decide.
LIMITS = ArchiveLimits(max_entries=2_000, cpu_s=2)
RSS_BYTES = 64 * MIB


def tree(folder: Path) -> str:
    """Return a digest of all that is below a folder: names, types, modes, links, inodes and content."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        told = path.lstat()
        digest.update(f"{path} {told.st_mode} {told.st_ino} {told.st_nlink} {told.st_size}\n".encode())
        if path.is_symlink():
            digest.update(str(path.readlink()).encode())
        elif path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


def lay_out(folder: Path, name: str) -> tuple[Path, Path]:
    """Return an archive of the corpus and where it is to go, beside a folder that nothing may touch."""
    outside = folder / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    archive = folder / "archive"
    archive.write_bytes(CORPUS[name][1](outside))
    return archive, folder / "target"


def test_the_corpus_is_large_enough() -> None:
    assert len(CORPUS) >= 40
    assert set(TARS) >= ESCAPES


@pytest.mark.parametrize("name", CORPUS)
def test_it_is_refused_and_nothing_changes(name: str, tmp_path: Path) -> None:
    archive, target = lay_out(tmp_path, name)
    before = tree(tmp_path)
    with pytest.raises(ArchiveRefusedError) as caught:
        unpack(archive, target, where="a.tar", limits=LIMITS)
    assert caught.value.rule == CORPUS[name][0]
    assert caught.value.where == "a.tar"
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", sorted(ESCAPES))
def test_the_judge_sees_what_a_naive_extraction_does(name: str, tmp_path: Path) -> None:
    """Negative control, within the test's own folder."""
    archive, target = lay_out(tmp_path, name)
    target.mkdir()
    before = tree(tmp_path / "outside")
    with tarfile.open(archive) as naive:
        try:
            naive.extractall(target, filter="fully_trusted")
        except OSError:
            assert name == "folder through a link"  # its mode is set through the link, after the deed
    assert tree(tmp_path / "outside") != before


def good() -> dict[str, bytes]:
    """Return the same two files and an empty folder in each format."""
    files = [member("./m", corpus.FOLDER, mode=0o755), member("m/model.onnx"), member("m/data/labels.txt")]
    plain = tar(*files, member("empty/", corpus.FOLDER, mode=0o755))
    names = [("m/", b""), ("m/model.onnx", b"evil"), ("m/data/labels.txt", b"evil"), ("empty/", b"")]
    return {
        "tar": plain,
        "gnu": tar(*files, member("empty", corpus.FOLDER), form=tarfile.GNU_FORMAT),
        "gz": gzip.compress(plain),
        "git": patched_comment(plain),
        "zip": zipped(*names, mode=0),
        "stored": zipped(*names, mode=0, method=0),
    }


def patched_comment(plain: bytes) -> bytes:
    """Return the tar with a global header that holds a comment, as `git archive` writes one."""
    return corpus.global_tar(comment="0" * 40)[:1024] + plain


@pytest.mark.parametrize("form", ["tar", "gnu", "gz", "git", "zip", "stored"])
def test_a_good_archive_comes_out_whole(form: str, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(good()[form])
    done = unpack(archive, tmp_path / "target", limits=LIMITS)
    assert done == Unpacked(tmp_path / "target", 2, 8, done.peak_bytes)
    found = {p.relative_to(done.folder).as_posix(): p for p in done.folder.rglob("*")}
    assert set(found) == {"m", "m/model.onnx", "m/data", "m/data/labels.txt", "empty"}
    assert found["m/model.onnx"].read_bytes() == b"evil"
    assert found["m/model.onnx"].stat().st_mode & 0o7777 == 0o600
    assert set(tmp_path.iterdir()) == {archive, done.folder}


@pytest.mark.parametrize(
    "name", ["bomb", "zip bomb", "many", "long header", "headers without end", "zip many"]
)
def test_memory_stays_below_the_figure_by_its_own_limit(name: str, tmp_path: Path) -> None:
    """The address space is bounded, so what is resident is; less room than that ends as a refusal too."""
    assert ArchiveLimits().memory_bytes <= RSS_BYTES
    archive, target = lay_out(tmp_path, name)
    with pytest.raises(ArchiveRefusedError) as caught:
        unpack(archive, target, limits=dataclasses.replace(LIMITS, memory_bytes=24 * MIB))
    assert caught.value.rule in {CORPUS[name][0], "memory"}


def test_a_large_good_archive_needs_little_memory(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    noise = os.urandom(MIB)
    archive.write_bytes(tar(*(member(f"f{n}") for n in range(48)), content=noise) if True else b"")
    done = unpack(archive, tmp_path / "target", limits=dataclasses.replace(LIMITS, cpu_s=20))
    assert done.size_bytes == 48 * MIB
    assert 0 < done.peak_bytes < RSS_BYTES


def test_each_limit_is_what_stops_it(tmp_path: Path) -> None:
    """Negative control: with wider limits the same archives come out."""
    wide = ArchiveLimits(max_ratio=10_000, max_depth=100, max_part_bytes=255, max_path_bytes=4096)
    for number, name in enumerate(["zip bomb", "deep", "many", "long part", "long path"]):
        folder = tmp_path / str(number)
        folder.mkdir()
        archive, target = lay_out(folder, name)
        assert unpack(archive, target, limits=wide).files >= 1


def test_time_is_bounded(tmp_path: Path) -> None:
    archive, target = lay_out(tmp_path, "bomb")
    slow = ArchiveLimits(max_ratio=10_000, wall_s=0.05)
    with pytest.raises(ArchiveRefusedError) as caught:
        unpack(archive, target, limits=slow)
    assert caught.value.rule == "time"
    assert not target.exists()


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(tar(member("f")))
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "mine").write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(ArchiveStorageError):
        unpack(archive, tmp_path / "target")
    assert tree(tmp_path) == before
