"""What every `ObjectStore` owes: folder, memory, S3, GCS, Azure Blob."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cloud_hub.blobs.folder import FolderStore
from cloud_hub.blobs.port import ObjectStore
from cloud_hub.blobs.remote import PART_BYTES

BIG = PART_BYTES * 2 + 12_345


def read(store: ObjectStore, key: str, offset: int = 0) -> bytes:
    with store.open(key, offset) as file:
        return file.read()


@pytest.fixture(scope="module")
def big() -> bytes:
    return os.urandom(BIG)


def test_what_was_put_is_read(store: ObjectStore) -> None:
    store.put_bytes("a/x", b"hello")
    assert (read(store, "a/x"), store.size("a/x"), store.exists("a/x")) == (b"hello", 5, True)


def test_a_second_put_replaces(store: ObjectStore, tmp_path: Path) -> None:
    store.put_bytes("a/x", b"a long first")
    store.put_bytes("a/x", b"second")
    assert (read(store, "a/x"), store.size("a/x")) == (b"second", 6)
    (tmp_path / "third").write_bytes(b"3")
    store.put_file("a/x", tmp_path / "third")
    assert (read(store, "a/x"), (tmp_path / "third").read_bytes()) == (b"3", b"3")


@pytest.mark.parametrize("size", [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, BIG])
def test_files_of_all_sizes_come_back(store: ObjectStore, tmp_path: Path, size: int, big: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(big[:size])
    store.put_file("f", path)
    assert store.size("f") == size
    assert hashlib.sha256(read(store, "f")).digest() == hashlib.sha256(big[:size]).digest()


def test_many_bytes_at_once(store: ObjectStore, big: bytes) -> None:
    store.put_bytes("f", big)
    assert read(store, "f") == big


@pytest.mark.parametrize("offset", [1, PART_BYTES - 1, PART_BYTES, BIG - 1, BIG, BIG + 1])
def test_reads_begin_at_an_offset(store: ObjectStore, offset: int, big: bytes) -> None:
    store.put_bytes("f", big)
    assert read(store, "f", offset) == big[offset:]


def test_reads_come_in_the_pieces_asked_for(store: ObjectStore, big: bytes) -> None:
    store.put_bytes("f", big)
    with store.open("f", 3) as file:
        pieces = [file.read(10), file.read(1), file.read(3_000_000), file.read()]
        assert file.read(1) == b""
    assert [len(piece) for piece in pieces] == [10, 1, 3_000_000, BIG - 3 - 3_000_011]
    assert b"".join(pieces) == big[3:]


def test_what_is_not_there(store: ObjectStore) -> None:
    assert not store.exists("a/none")
    for call in (store.size, store.open):
        with pytest.raises(FileNotFoundError):
            call("a/none")
    store.delete("a/none")
    assert list(store.keys("a")) == []


def test_a_folder_is_no_object(store: ObjectStore) -> None:
    store.put_bytes("a/b/c", b"1")
    assert not store.exists("a/b")


def test_deleted_is_gone(store: ObjectStore) -> None:
    store.put_bytes("a/x", b"1")
    store.put_bytes("a/y", b"2")
    store.delete("a/x")
    assert (store.exists("a/x"), list(store.keys("a"))) == (False, ["a/y"])


def test_keys_are_in_order_and_below_their_prefix(store: ObjectStore) -> None:
    keys = ["a/x", "a/B", "a/b/c", "a/b-c", "a/b.c", "a/é", "ab/x", "a-b/x", "b"]
    for key in keys:
        store.put_bytes(key, b"1")
    assert list(store.keys("a")) == ["a/B", "a/b-c", "a/b.c", "a/b/c", "a/x", "a/é"]
    assert list(store.keys("a/b")) == ["a/b/c"]
    assert list(store.keys("ab")) == ["ab/x"]
    assert list(store.keys("b")) == []  # an object, not a prefix


def test_more_keys_than_a_page(store: ObjectStore) -> None:
    wanted = [f"many/{number:04}" for number in range(1_100)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.put_bytes(key, b""), wanted))
    assert list(store.keys("many")) == wanted


@pytest.mark.parametrize("name", ["a b", "c+d", "e%20f", "g%2Fh", "i#j", "k?l", "m&n=o", "é~(1)"])
def test_odd_names_stay_as_they_are(store: ObjectStore, name: str) -> None:
    store.put_bytes(f"odd/{name}", b"1")
    assert list(store.keys("odd")) == [f"odd/{name}"]
    assert read(store, f"odd/{name}") == b"1"
    store.delete(f"odd/{name}")
    assert not store.exists(f"odd/{name}")


@pytest.mark.parametrize(
    "key", ["", "/", "/etc/passwd", "../x", "a/../../x", "a//b", "a/./b", ".x", "a/", "a\0b", "a\nb"]
)
def test_a_key_that_leads_elsewhere_is_refused(store: ObjectStore, key: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    for call in (
        lambda: store.put_bytes(key, b"1"),
        lambda: store.put_file(key, tmp_path / "file"),
        lambda: store.open(key),
        lambda: store.size(key),
        lambda: store.exists(key),
        lambda: store.delete(key),
        lambda: list(store.keys(key)),
    ):
        with pytest.raises(ValueError, match="not a key"):
            call()


def test_several_threads(store: ObjectStore) -> None:
    def turn(number: int) -> bool:
        data = str(number).encode() * 10_000
        store.put_bytes(f"t/{number}", data)
        return read(store, f"t/{number}") == data

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(turn, range(40)))


def test_who_writes_one_key_at_once_leaves_one_of_them_whole(store: ObjectStore, tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / str(number)).write_bytes(bytes([number]) * (PART_BYTES + 100 + number))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: store.put_file("one", tmp_path / str(number)), range(4)))
    found = read(store, "one")
    assert found == bytes([found[0]]) * (PART_BYTES + 100 + found[0])


def test_a_source_that_is_not_there_leaves_nothing(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store.put_file("f", tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        store.put_file("f", tmp_path)
    assert not store.exists("f")


def seen_too_early(store: ObjectStore, pipe: Path) -> bool:
    """Put a large object slowly; is anything of it to be seen before its last byte was there?"""
    with ThreadPoolExecutor(1) as pool:
        putting = pool.submit(store.put_file, "late", pipe)
        with pipe.open("wb", buffering=0) as source:
            source.write(bytes(BIG))  # returns when all but a pipe's fill was read
            seen = store.exists("late") or bool(list(store.keys("late")))
        putting.result(60)
    assert store.size("late") == BIG
    return seen


def test_nothing_is_seen_before_all_is_there(store: ObjectStore, pipe: Path) -> None:
    assert not seen_too_early(store, pipe)


class EagerStore(FolderStore):
    """Writes straight to the object's place, as the port forbids."""

    def put_file(self, key: str, path: Path) -> None:
        with path.open("rb") as source, self.path(key).open("wb", buffering=0) as target:
            while block := source.read(1 << 16):
                target.write(block)


def test_a_store_that_shows_half_an_object_is_found_out(tmp_path: Path, pipe: Path) -> None:
    assert seen_too_early(EagerStore(tmp_path / "objects"), pipe)
