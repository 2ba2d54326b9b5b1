"""What is kept for neighbours: within its bound, never from the reserve, the oldest goes first."""

import os
import random
from pathlib import Path

import pytest

from agent.artifacts.errors import DiskTooSmallError
from agent.artifacts.pull import staged_image
from agent.artifacts.room import Reserve, Room
from agent.artifacts.shelf import NoShelf
from agent.artifacts.store import ContentStore
from agent.neighbours.opening import open_serving
from agent.neighbours.settings import Neighbours
from agent.neighbours.shelf import FolderShelf
from contract.digests import sha256
from tests.agent.settings_file import refused
from tests.artifacts.registry import make_tar
from tests.disks import small_disk
from tests.neighbours.shop import Shop

MIB = 1024 * 1024


def shelf_of(folder: Path, max_bytes: int, reserve: Reserve | None = None) -> FolderShelf:
    folder.mkdir(exist_ok=True)
    return FolderShelf(folder / "shelf", max_bytes, Room(folder, reserve or Reserve()))


def has(shelf: FolderShelf, digest: str) -> bool:
    file = shelf.open(digest)
    if file is not None:
        file.close()
    return file is not None


def blob(folder: Path, text: str, size: int, at: int) -> str:
    """Make a download that ended at second ``at``; return its digest."""
    data = text.encode() * size
    path = folder / sha256(data).removeprefix("sha256:")
    path.write_bytes(data)
    os.utime(path, (at, at))
    return sha256(data)


def test_the_oldest_goes_first_and_the_bound_is_kept(tmp_path: Path) -> None:
    shelf = shelf_of(tmp_path / "c", 1000)
    digests = {}
    for at, text in enumerate("badc"):
        digests[text] = blob(tmp_path, text, 300, at)
        shelf.put(tmp_path / digests[text].removeprefix("sha256:"))
        assert shelf.size_bytes() <= 1000
    there = [text for text, digest in digests.items() if has(shelf, digest)]
    assert there == ["a", "d", "c"]
    assert not any(path.is_file() for path in tmp_path.iterdir())


def test_what_is_larger_than_all_of_it_drives_nothing_out_and_nobody_waits_for_it(tmp_path: Path) -> None:
    shelf = shelf_of(tmp_path / "c", 1000)
    small = blob(tmp_path, "s", 900, 1)
    shelf.put(tmp_path / small.removeprefix("sha256:"))
    large = blob(tmp_path, "l", 1001, 2)
    with shelf.coming(large, 1001):
        assert not shelf.is_coming(large)
    with shelf.coming(small, 900):
        assert shelf.is_coming(small)
    assert not shelf.is_coming(small)
    shelf.put(tmp_path / large.removeprefix("sha256:"))
    assert not has(shelf, large)
    assert has(shelf, small)
    assert not any(path.is_file() for path in tmp_path.iterdir())


def test_a_smaller_bound_holds_from_the_next_start(tmp_path: Path) -> None:
    shelf = shelf_of(tmp_path / "c", 1000)
    for at, text in enumerate("abc"):
        shelf.put(tmp_path / blob(tmp_path, text, 300, at).removeprefix("sha256:"))
    assert shelf.size_bytes() == 900
    assert shelf_of(tmp_path / "c", 500).size_bytes() == 300


def test_turned_off_it_is_gone(shop: Shop) -> None:
    device = shop.device("cam-1")
    device.serve("cam-2")
    content = device.folder / "content"
    blob(content / "shelf", "a", 10, 1)
    store = ContentStore(content)
    open_serving(Neighbours(), device.identity, store, content, device.savings)
    assert isinstance(store.shelf, NoShelf)
    assert not (content / "shelf").exists()


@pytest.mark.system
def test_a_pull_gets_the_room_that_is_kept_for_others(shop: Shop) -> None:
    """On a real disk of 16 MiB with 4 in reserve; the control: the same pull beside a file that stays."""
    noise = random.Random(3)
    old = shop.served.add_image([make_tar({"o": noise.randbytes(3 * MIB)})], shop.site.architecture)
    new = shop.served.add_image([make_tar({"n": noise.randbytes(2 * MIB)})], shop.site.architecture)
    with small_disk(shop.folder / "disk", "16m") as disk:
        device = shop.device("cam-1", reserve=Reserve(4 * MIB))
        device.store = ContentStore(disk / "content", Reserve(4 * MIB))
        device.folder = disk
        device.serve("cam-2")
        device.pull(old)
        assert device.shelf.size_bytes() > 3 * MIB
        device.pull(new)  # 2 MiB, and twice that unpacked: more than is free beside the old one's blob
        assert staged_image(old, device.store)
        assert staged_image(new, device.store)
        assert device.store.room.free_bytes() >= 0
        assert device.shelf.size_bytes() < 3 * MIB
        assert device.serving is not None
        device.serving.close()
    with small_disk(shop.folder / "disk", "16m") as disk:
        device.store = ContentStore(disk / "content", Reserve(4 * MIB))
        device.pull(old)
        (disk / "stays").write_bytes(bytes(3 * MIB))
        with pytest.raises(DiskTooSmallError):
            device.pull(new)


@pytest.mark.system
def test_nothing_is_kept_from_the_reserve(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "4m") as disk:
        shelf = shelf_of(disk, 10 * MIB, Reserve(2 * MIB))
        for at, text in enumerate("abcd"):
            shelf.put(disk / blob(disk, text, MIB, at).removeprefix("sha256:"))
            assert Room(disk, Reserve(2 * MIB)).free_bytes() >= 0
        assert shelf.size_bytes() in {MIB, 2 * MIB}
        (disk / "others").write_bytes(bytes(MIB))  # samples, logs
        shelf.make_way(0)
        assert Room(disk, Reserve(2 * MIB)).free_bytes() >= 0


@pytest.mark.parametrize(
    "text",
    [
        'listen = "0.0.0.0:7443"', 'listen = "7443"\nallow = ["a"]', 'listen = "host"\nallow = ["a"]',
        'listen = "host:0"\nallow = ["a"]', 'listen = "u:p@host:1"\nallow = ["a"]', 'allow = ["A"]',
        'listen = "host:1/x"\nallow = ["a"]', 'allow = ["*"]', "cache_bytes = 5", "max_bytes_per_s = 5",
        "wait_s = -1", "wait_s = 86401", "key = 1", 'listen = "host:99999"\nallow = ["a"]',
    ],
)  # fmt: skip
def test_settings_that_are_wrong(tmp_path: Path, text: str) -> None:
    refused(tmp_path, f"[neighbours]\n{text}\n")


@pytest.mark.parametrize(
    "text",
    [
        'at = "https://a:1"\nneighbour = "A"', 'at = "http://a:1"\nneighbour = "a"',
        'at = "https://a:1"\nneighbour = "a"\nca_file = "/x"', 'at = "folder:/x"\nneighbour = "a"',
    ],
)  # fmt: skip
def test_sources_that_are_wrong(tmp_path: Path, text: str) -> None:
    refused(tmp_path, f"[[sources]]\n{text}\n")


def test_addresses() -> None:
    def address(listen: str) -> tuple[str, int]:
        return Neighbours(listen=listen, allow=("a",)).address

    assert address("0.0.0.0:7443") == ("0.0.0.0", 7443)
    assert address("[fd00::5]:7443") == ("fd00::5", 7443)
    assert address("cam-1.local:7443") == ("cam-1.local", 7443)
