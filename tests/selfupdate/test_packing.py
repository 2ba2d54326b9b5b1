"""Releases as files: the same bytes for the same tree, and nothing that is no release is taken for one."""

import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from cloud_hub.sdk import SdkError
from cloud_hub.sdk.agent_packing import pack_release, read_release
from contract.agent_release import PYTHON_LABEL, STATE_FORMAT, STATE_LABEL, VERSION_LABEL
from contract.digests import hex_of
from tests.selfupdate.releases import make_tree


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("libraries")


def test_two_trees_of_the_same_sources_are_the_same_release(tmp_path: Path, libraries: Path) -> None:
    first = pack_release(make_tree(tmp_path / "a", "0.9.0", libraries), tmp_path / "a.tar")
    again = make_tree(tmp_path / "b", "0.9.0", libraries)
    (again / "agent/__pycache__").mkdir()
    (again / "agent/__pycache__/cli.pyc").write_bytes(b"left behind")
    assert pack_release(again, tmp_path / "b.tar") == first
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    read = read_release(tmp_path / "a.tar")
    about = json.loads((again / "release.json").read_bytes())
    assert read.labels == {
        VERSION_LABEL: "0.9.0", PYTHON_LABEL: about["python"], STATE_LABEL: str(STATE_FORMAT),
    }  # fmt: skip
    assert read.descriptor.digest == first.digest


def test_another_version_shares_the_layer_of_the_libraries(tmp_path: Path, libraries: Path) -> None:
    releases = []
    for version in ("0.9.0", "0.9.1"):
        pack_release(make_tree(tmp_path, version, libraries), tmp_path / f"{version}.tar")
        releases.append(read_release(tmp_path / f"{version}.tar"))
    first, second = (set(release.blobs) for release in releases)
    (libraries_layer,) = first & second
    assert len(releases[0].blobs[libraries_layer]) > 10 * max(
        len(data) for digest, data in releases[1].blobs.items() if digest != libraries_layer
    )


def small(folder: Path) -> Path:
    """Return a release with next to nothing in it."""
    lib = folder / "lib"
    (lib / "agent").mkdir(parents=True)
    (lib / "agent/cli.py").write_text("def main(words):\n    return 0\n")
    about = {"digest": "sha256:1", "machine": "x86_64", "python": "3.11", "state": 1, "version": "1"}
    (lib / "release.json").write_text(json.dumps(about))
    pack_release(lib, folder / "good.tar")
    return folder / "good.tar"


def changed(file: Path, change: Callable[[dict[str, bytes]], object]) -> Path:
    with tarfile.open(file) as tar:
        files = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    change(files)
    with tarfile.open(file, "w") as tar:
        folder = file.parent / "files"
        for name, data in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
            tar.add(folder / name, name)
    return file


def flip(files: dict[str, bytes]) -> None:
    name = max(files, key=lambda name: len(files[name]) if name.startswith("blobs/") else 0)
    files[name] = files[name][:-1] + bytes([files[name][-1] ^ 1])


BAD: dict[str, Callable[[dict[str, bytes]], object]] = {
    "a flipped bit": flip,
    "no index": lambda files: files.pop("index.json"),
    "an index of nothing": lambda files: files.update({"index.json": b"{}"}),
    "a blob that is gone": lambda files: files.pop(next(name for name in files if name.startswith("blobs/"))),
}


@pytest.mark.parametrize("fault", BAD)
def test_what_is_no_release_is_refused(tmp_path: Path, fault: str) -> None:
    file = small(tmp_path)
    read_release(file)
    with pytest.raises(SdkError):
        read_release(changed(file, BAD[fault]))
    file.write_text("no tar")
    with pytest.raises(SdkError):
        read_release(file)


def test_an_image_that_is_none_is_refused(tmp_path: Path) -> None:
    """Its manifest claims to be one, its configuration does not."""

    def unlabel(files: dict[str, bytes]) -> None:
        for name in [name for name in files if b'"rootfs"' in files[name]]:
            files[name] = files[name].replace(VERSION_LABEL.encode(), b"x" * len(VERSION_LABEL))

    file = small(tmp_path)
    manifest = read_release(file).descriptor.digest
    with pytest.raises(SdkError):
        read_release(changed(file, unlabel))
    assert hex_of(manifest)


def test_a_tree_with_a_link_is_refused(tmp_path: Path) -> None:
    small(tmp_path)
    (tmp_path / "lib/agent/link.py").symlink_to("/etc/passwd")
    with pytest.raises(SdkError):
        pack_release(tmp_path / "lib", tmp_path / "bad.tar")
    assert not (tmp_path / "bad.tar").exists()
    shutil.rmtree(tmp_path / "lib")
    with pytest.raises(SdkError):
        pack_release(tmp_path / "lib", tmp_path / "bad.tar")
