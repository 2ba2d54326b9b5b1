"""Room on the disk: what a pull needs is known before, a full disk harms nothing that is there."""

import gzip
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.artifacts.errors import DiskTooSmallError
from agent.artifacts.pull import pull_image, staged_image
from agent.artifacts.room import Missing, Reserve, Room, bytes_needed
from agent.artifacts.store import ContentStore
from agent.reconcile.backoff import Backoff
from agent.reconcile.pulls import Pulls
from contract.desired import ImageRef, Module
from contract.digests import sha256
from tests.artifacts.conftest import Site
from tests.artifacts.registry import make_tar, tree
from tests.disks import small_disk

MIB = 1024**2
DISK_BYTES = 10 * MIB
NOISE = random.Random(3)


def layer(name: str, size_bytes: int) -> bytes:
    return make_tar({name: NOISE.randbytes(size_bytes)})


@pytest.mark.parametrize(
    ("layers", "most"),
    [
        ([], 0),
        ([Missing(10, 0, 20)], 30),
        ([Missing(10, 10, 20)], 20),
        ([Missing(10, 0, 20), Missing(5, 0, 10)], 35),
        ([Missing(10, 0, 5), Missing(1, 0, 2)], 15),  # the first blob is gone when the second comes
        ([Missing(10, 8, 20), Missing(30, 0, 1)], 43),
    ],
)
def test_what_layers_take_at_the_most(layers: list[Missing], most: int) -> None:
    assert bytes_needed(layers) == most


def test_the_larger_reserve_counts(tmp_path: Path) -> None:
    free = [Room(tmp_path, reserve).free_bytes() for reserve in (Reserve(), Reserve(1 << 50), Reserve(0, 90))]
    assert free[1] < 0 < free[0]
    assert free[2] < free[0]
    Room(tmp_path, Reserve()).watch()
    with pytest.raises(DiskTooSmallError):
        Room(tmp_path, Reserve(1 << 50)).watch()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a real file system of 10 MiB."""
    with small_disk(tmp_path / "disk", str(DISK_BYTES)) as folder:
        yield folder


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.system
def test_a_pull_that_does_not_fit_is_refused_before_a_layer_is_asked_for(site: Site, disk: Path) -> None:
    store = ContentStore(disk / "content", Reserve(MIB))
    small = site.served.add_image([layer("small", MIB)], site.architecture)
    pull_image(small, site.client, store)
    before = tree(disk / "content/layers")
    site.served.sent.clear()
    big = site.served.add_image([layer("big", 14 * MIB // 5)], site.architecture)
    for _ in range(2):
        with pytest.raises(DiskTooSmallError) as caught:
            pull_image(big, site.client, store)
        assert caught.value.retriable
        assert caught.value.code == "disk-too-small"
        assert "needs 8.4 MiB of disk, 8.0 MiB may be used" in str(caught.value)
    assert sum(site.served.sent.values()) < 10_000
    assert tree(disk / "content/layers") == before
    # The control: without the reserve it fits.
    pull_image(big, site.client, ContentStore(disk / "content"))


@pytest.mark.system
def test_a_layer_that_unpacks_to_more_than_thought_leaves_the_reserve_and_no_trace(
    site: Site, disk: Path
) -> None:
    zeros = site.served.add_image([make_tar({"zeros": bytes(20 * MIB)})], site.architecture)
    for reserve_bytes, words in ((2 * MIB, "kept in reserve"), (0, "did not take")):
        store = ContentStore(disk / "content", Reserve(reserve_bytes))
        with pytest.raises(DiskTooSmallError, match=words):
            pull_image(zeros, site.client, store)
        assert list((disk / "content/layers").iterdir()) == []
        assert list((disk / "content/recipes").iterdir()) == []


class Kept:
    """A device that pulls what it is told, and keeps what is needed."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.store = ContentStore(folder / "content", Reserve(MIB))
        self.woken = threading.Event()
        self.pulls = Pulls(site.client, self.store, Backoff(time.monotonic), self.woken.set)

    def pull(self, ref: ImageRef, needed: list[ImageRef]) -> None:
        self.pulls.keep([module(each) for each in needed])
        self.pulls.start(module(ref))
        until(lambda: not self.pulls.in_flight())


def module(ref: ImageRef) -> Module:
    return Module(name="digits", image=ref)


@pytest.mark.system
def test_what_nothing_needs_makes_room_and_what_is_needed_never_does(site: Site, disk: Path) -> None:
    device = Kept(site, disk)
    shared = layer("shared", MIB // 2)
    running, old, new = (
        site.served.add_image([shared, layer(name, size)], site.architecture)
        for name, size in (("running", MIB), ("old", 2 * MIB), ("new", 2 * MIB))
    )
    device.pull(running, [running])
    kept = tree(staged(device, running)[0].parent)
    device.pull(old, [running, old])
    abandoned = device.store.partial_file("sha256:" + "7" * 64)
    abandoned.write_bytes(bytes(MIB // 2))
    whole = tree(disk / "content/layers")
    # All is needed: nothing may go, and the reason says why.
    device.pull(new, [running, old, new])
    (why,) = device.pulls.troubles().values()
    assert why.startswith("tried again: ")
    assert why.endswith("[disk-too-small]")
    assert device.pulls.take_failures() == []
    assert tree(disk / "content/layers") == whole
    assert not abandoned.exists()
    # `old` is needed no more.
    device.pull(new, [running, new])
    assert device.pulls.troubles() == {}
    assert staged(device, new)
    assert staged_image(old, device.store) is None
    assert kept.items() <= tree(disk / "content/layers").items()
    assert device.pulls.staged(module(old)) is None
    device.pulls.close()


def staged(device: Kept, ref: ImageRef) -> tuple[Path, ...]:
    found = staged_image(ref, device.store)
    assert found is not None
    return found.layers


def test_a_layer_that_is_being_pulled_is_never_room(site: Site) -> None:
    """A pull found its lowest layer here, and is on its way with the next, when another needs room."""
    base, top = layer("base", 1000), layer("top", 1000)
    pull_image(site.served.add_image([base], site.architecture), site.client, site.store)
    ref = site.served.add_image([base, top], site.architecture)
    gone: list[str] = []
    topmost = sha256(gzip.compress(top, mtime=0))
    site.served.before_body = lambda each: gone.extend(site.store.make_room([]) if each == topmost else [])
    assert len(pull_image(ref, site.client, site.store).layers) == 2
    assert gone == []
    # The control: once nobody claims them, they are.
    assert len(site.store.make_room([])) == 2
    assert staged_image(ref, site.store) is None


def test_an_image_whose_layers_are_here_needs_no_room(site: Site) -> None:
    """As after a return to an older version, on a disk that others filled."""
    base = layer("base", 1000)
    pull_image(site.served.add_image([base], site.architecture), site.client, site.store)
    full = ContentStore(site.folder / "content", Reserve(1 << 60))
    with pytest.raises(DiskTooSmallError):
        pull_image(site.served.add_image([base, layer("top", 1)], site.architecture), site.client, full)
    for blob in (site.folder / "content/blobs/sha256").iterdir():
        blob.unlink()
    assert pull_image(site.served.add_image([base], site.architecture), site.client, full).layers
