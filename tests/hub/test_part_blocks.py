"""Uploads that any of several hubs goes on with: blocks in the store that they share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloud_hub.blobs import upload_rows
from cloud_hub.blobs.folder import FolderStore
from cloud_hub.blobs.part_blocks import BlockParts
from cloud_hub.blobs.parts import forget_others
from cloud_hub.blobs.service import Blobs
from cloud_hub.blobs.upload_rows import UploadKey
from cloud_hub.blobs.uploads import Uploads
from cloud_hub.blobs.writing import BLOCK_BYTES
from cloud_hub.db.engine import Database
from cloud_hub.errors import InvalidInputError, UploadOffsetError
from contract.digests import sha256

DATA = bytes(range(256)) * (BLOCK_BYTES // 256) + b"and a little more"
KEY = UploadKey("shop", "ana", sha256(DATA))


class AnotherHub:
    """The uploads of one hub process, with a folder of its own, over the shared rows and bytes."""

    def __init__(self, database: Database, folder: Path, number: int) -> None:
        self.store = FolderStore(folder / "objects")
        self.blobs = Blobs(database, self.store, folder / f"work-{number}")
        self.parts = BlockParts(self.store, folder / f"work-{number}")
        self.uploads = Uploads(database, self.blobs, self.parts, most_bytes=1 << 30)

    def keys(self) -> list[str]:
        return list(self.store.keys("uploads"))


async def body(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 1 << 20):
        yield data[start : start + (1 << 20)]


async def test_what_one_hub_began_another_ends(database: Database, tmp_path: Path) -> None:
    one, two = AnotherHub(database, tmp_path, 1), AnotherHub(database, tmp_path, 2)
    one.uploads.begin(KEY, len(DATA))
    state = await one.uploads.append(KEY, 0, body(DATA[: BLOCK_BYTES + 5]))
    assert (state.offset_bytes, state.complete) == (BLOCK_BYTES + 5, False)
    assert two.uploads.state(KEY) == state
    done = await two.uploads.append(KEY, state.offset_bytes, body(DATA[state.offset_bytes :]))
    assert done.complete
    assert b"".join(one.blobs.read(KEY.digest)) == DATA
    assert one.keys() == []
    assert list((tmp_path / "work-2").iterdir()) == []


async def test_a_wrong_digest_is_found_and_nothing_is_left(database: Database, tmp_path: Path) -> None:
    hub = AnotherHub(database, tmp_path, 1)
    hub.uploads.begin(KEY, len(DATA))
    with pytest.raises(InvalidInputError, match="digest"):
        await hub.uploads.append(KEY, 0, body(DATA[::-1]))
    assert hub.keys() == []
    assert not hub.blobs.exists(KEY.digest)


async def test_what_another_hub_moved_on_is_asked_for_again_and_not_given_up(
    database: Database, tmp_path: Path
) -> None:
    one, two = AnotherHub(database, tmp_path, 1), AnotherHub(database, tmp_path, 2)
    one.uploads.begin(KEY, len(DATA))

    async def overtaken() -> AsyncIterator[bytes]:
        await two.uploads.append(KEY, 0, body(DATA[:7]))
        yield DATA[:9]

    with pytest.raises(UploadOffsetError) as caught:
        await one.uploads.append(KEY, 0, overtaken())
    assert caught.value.retriable
    state = one.uploads.state(KEY)
    assert state.offset_bytes == 7
    assert (await one.uploads.append(KEY, 7, body(DATA[7:]))).complete
    assert b"".join(two.blobs.read(KEY.digest)) == DATA


async def test_two_hubs_that_finish_the_same_upload_both_say_that_it_is_there(
    database: Database, tmp_path: Path
) -> None:
    one, two = AnotherHub(database, tmp_path, 1), AnotherHub(database, tmp_path, 2)
    one.uploads.begin(KEY, len(DATA))
    with database.reading() as session:
        row = upload_rows.find(session, KEY)
    assert row is not None
    assert (await one.uploads.append(KEY, 0, body(DATA))).complete
    part = two.parts.part(row.id)
    part.append(0, [DATA])  # as the second hub had read it before the first forgot it
    two.uploads._finish(KEY, row, part)
    assert two.uploads.state(KEY).complete
    assert b"".join(two.blobs.read(KEY.digest)) == DATA


def test_each_time_it_is_put_together_it_is_another_file(tmp_path: Path) -> None:
    part = BlockParts(FolderStore(tmp_path / "objects"), tmp_path).part("u")
    part.append(0, [b"abc"])
    first, second = part.whole(3), part.whole(3)
    assert first is not None
    assert second is not None
    assert first != second
    part.forget()
    assert list(tmp_path.glob("*.part")) == []


def test_writers_that_overtook_one_another_leave_a_whole_file(tmp_path: Path) -> None:
    part = BlockParts(FolderStore(tmp_path / "objects"), tmp_path).part("u")
    part.append(0, [b"abc", b"def"])
    part.append(6, [b"ghi"])
    part.append(6, [b"g"])  # one that was taken for dead and wrote after all
    part.append(3, [b"def"])  # of a chain that leads nowhere
    part.append(9, [b"j"])
    assert part.resume(10)
    assert not part.resume(8)
    assert not part.resume(11)
    path = part.whole(10)
    assert path is not None
    assert (path.read_bytes(), part.digest()) == (b"abcdefghij", sha256(b"abcdefghij"))
    part.forget()
    assert part.whole(10) is None


def test_what_belongs_to_no_upload_is_forgotten(tmp_path: Path) -> None:
    parts = BlockParts(FolderStore(tmp_path / "objects"), tmp_path)
    for upload in ("known", "left"):
        parts.part(upload).append(0, [b"x"])
    assert set(parts.ids()) == {"known", "left"}
    forget_others(parts, {"known", "left"}, {"known", "younger"})
    assert set(parts.ids()) == {"known"}
