"""The read cache: bounded, the longest unused leaves first, nothing in use leaves, a failure is not kept."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import pytest

from cloud_hub.blobs.errors import ReadCacheError, StoreError
from cloud_hub.blobs.folder import FolderStore
from cloud_hub.blobs.read_cache import ReadCache


class CountingStore(FolderStore):
    """Counts what is opened, and fails where it is told to."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.opened: list[str] = []
        self.failing = False

    def open(self, key: str, offset: int = 0) -> BinaryIO:
        self.opened.append(key)
        if self.failing:
            raise StoreError("planted")
        return super().open(key, offset)


@pytest.fixture
def store(tmp_path: Path) -> CountingStore:
    store = CountingStore(tmp_path / "objects")
    for name in "abcde":
        store.put_bytes(f"t/{name}", name.encode() * 10)
    return store


@pytest.fixture
def cache(store: CountingStore, tmp_path: Path) -> ReadCache:
    return ReadCache(store, tmp_path / "cache", 30)


def sizes(names: str) -> dict[str, int]:
    return {f"t/{name}": 10 for name in names}


def use(cache: ReadCache, names: str) -> list[bytes]:
    with cache.held(sizes(names)) as paths:
        return [paths[key].read_bytes() for key in sizes(names)]


def here(tmp_path: Path) -> str:
    return "".join(sorted(p.name for p in (tmp_path / "cache").rglob("*") if p.is_file()))


def test_what_is_here_is_not_fetched_again(store: CountingStore, cache: ReadCache) -> None:
    assert use(cache, "ab") == use(cache, "ab") == [b"a" * 10, b"b" * 10]
    assert sorted(store.opened) == ["t/a", "t/b"]


def test_the_longest_unused_leaves_first(cache: ReadCache, tmp_path: Path) -> None:
    for name in "abcad":
        use(cache, name)
    assert here(tmp_path) == "acd"
    use(cache, "be")
    assert here(tmp_path) == "bde"


def test_the_bound_is_in_bytes(cache: ReadCache, tmp_path: Path) -> None:
    with pytest.raises(ReadCacheError):
        use(cache, "abcd")
    assert here(tmp_path) == ""
    assert len(use(cache, "abc")) == 3


def test_what_is_in_use_stays_and_who_needs_room_waits(cache: ReadCache, tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        with cache.held(sizes("ab")) as paths:
            waiting = pool.submit(use, cache, "cd")
            assert not waiting.done()
            assert [path.read_bytes() for path in paths.values()] == [b"a" * 10, b"b" * 10]
            assert use(cache, "a") == [b"a" * 10]
        assert waiting.result(20) == [b"c" * 10, b"d" * 10]
    assert len(here(tmp_path)) <= 3


def test_many_at_once_get_their_bytes_and_one_fetch_serves_all(
    store: CountingStore, cache: ReadCache, tmp_path: Path
) -> None:
    begin = threading.Barrier(8)

    def turn(number: int) -> bool:
        begin.wait()
        return use(cache, "ab") == [b"a" * 10, b"b" * 10]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(turn, range(8)))
    assert sorted(store.opened) == ["t/a", "t/b"]

    def churn(number: int) -> bool:
        wanted = "".join(sorted({"abcde"[number % 5], "abcde"[(number * 3 + 1) % 5]}))
        return use(cache, wanted) == [letter.encode() * 10 for letter in wanted]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(churn, range(200)))
    assert len(here(tmp_path)) <= 3


def test_a_failure_is_told_and_not_kept(store: CountingStore, cache: ReadCache, tmp_path: Path) -> None:
    store.failing = True
    with pytest.raises(StoreError, match="planted"):
        use(cache, "a")
    assert here(tmp_path) == ""
    store.failing = False
    assert use(cache, "a") == [b"a" * 10]


def test_an_object_that_is_gone_or_of_another_size_is_an_error(
    store: CountingStore, cache: ReadCache, tmp_path: Path
) -> None:
    store.put_bytes("t/a", b"short")
    with pytest.raises(StoreError, match="as long"):
        use(cache, "a")
    store.delete("t/b")
    with pytest.raises(StoreError, match="gone"):
        use(cache, "b")
    assert here(tmp_path) == ""


def test_a_start_begins_empty(store: CountingStore, cache: ReadCache, tmp_path: Path) -> None:
    use(cache, "a")
    (tmp_path / "cache" / "files" / "t" / "b").write_bytes(b"half")
    again = ReadCache(store, tmp_path / "cache", 30)
    assert here(tmp_path) == ""
    assert use(again, "b") == [b"b" * 10]


def test_a_key_that_leads_outside_is_refused(cache: ReadCache) -> None:
    with pytest.raises(ValueError, match="not a key"):
        cache.folder("../x")
    with pytest.raises(ValueError, match="not a key"), cache.held({"../x": 1}):
        pass
