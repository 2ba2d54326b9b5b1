"""Upload sessions go on: after a restart, at another hub, after a cut, and one writer at a time."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from cloud_hub.blobs.part_blocks import BlockParts
from cloud_hub.blobs.writing import BLOCK_BYTES
from cloud_hub.errors import ConflictError, TooLargeError, UploadBusyError
from cloud_hub.registry import push_rows
from cloud_hub.registry.errors import DigestInvalidError, PushUnknownError, RangeInvalidError
from cloud_hub.registry.pushes import Pushes
from contract.digests import sha256
from tests.registry.stage import KEEP, REPOSITORY, Killed, Stage, body

DATA = bytes(range(256)) * (BLOCK_BYTES // 256) + b"and a little more"
DIGEST = sha256(DATA)


async def test_a_restarted_hub_goes_on(stage: Stage) -> None:
    key = stage.pushes.begin(REPOSITORY, "ana")
    assert await stage.pushes.append(key, 0, body(DATA[:1000])) == 1000
    stage.restart()
    with (stage.folder / "parts" / f"{key.id}.part").open("ab") as file:
        file.write(b"a block whose offset was never committed")
    assert stage.pushes.offset(key) == 1000
    await stage.pushes.finish(key, DIGEST, 1000, body(DATA[1000:]))
    assert b"".join(stage.blobs.read(DIGEST)) == DATA
    assert list(stage.parts.ids()) == []
    with pytest.raises(PushUnknownError):
        stage.pushes.offset(key)


async def test_another_hub_goes_on(stage: Stage, tmp_path: Path) -> None:
    """Two hubs over one database and one object store, and no folder in common."""
    hubs = []
    for name in ("one", "other"):
        work = tmp_path / name
        work.mkdir()
        parts = BlockParts(stage.store, work, "registry-uploads")
        hubs.append(Pushes(stage.database, stage.blobs, parts, most_bytes=1 << 30))
    one, other = hubs
    key = one.begin(REPOSITORY, "ana")
    await one.append(key, 0, body(DATA[:1000]))
    assert await other.append(key, 1000, body(DATA[1000:5000])) == 5000
    with pytest.raises(RangeInvalidError):
        await one.append(key, 1000, body(b"late"))
    await one.finish(key, DIGEST, 5000, body(DATA[5000:]))
    assert b"".join(stage.blobs.read(DIGEST)) == DATA
    assert list(stage.store.keys("registry-uploads")) == []


@pytest.mark.parametrize("point", ["before", "after"])
async def test_killed_while_the_file_moves_into_the_store(stage: Stage, point: str) -> None:
    key = stage.pushes.begin(REPOSITORY, "ana")
    setattr(stage.store, point, True)
    with pytest.raises(Killed):
        await stage.pushes.finish(key, DIGEST, None, body(DATA))
    stage.restart()
    assert DIGEST not in stage.links()
    await stage.pushes.finish(key, DIGEST, None, body())
    assert DIGEST in stage.links()
    assert b"".join(stage.blobs.read(DIGEST)) == DATA


async def test_bytes_that_are_lost_end_the_session(stage: Stage) -> None:
    """As after a restore: the row is of the backup, and the part is not."""
    key = stage.pushes.begin(REPOSITORY, "ana")
    await stage.pushes.append(key, 0, body(b"lost"))
    stage.restart()
    (stage.folder / "parts" / f"{key.id}.part").unlink()
    with pytest.raises(PushUnknownError, match="lost"):
        await stage.pushes.append(key, 4, body(b"more"))
    with pytest.raises(PushUnknownError):
        stage.pushes.offset(key)


async def test_a_wrong_digest_ends_the_session_and_keeps_nothing(stage: Stage) -> None:
    key = stage.pushes.begin(REPOSITORY, "ana")
    with pytest.raises(DigestInvalidError):
        await stage.pushes.finish(key, DIGEST, None, body(DATA[1:]))
    assert stage.links() == set()
    assert not stage.blobs.exists(sha256(DATA[1:]))
    assert list(stage.parts.ids()) == []


async def test_one_writes_at_a_time(stage: Stage) -> None:
    key = stage.pushes.begin(REPOSITORY, "ana")
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield DATA[:10]
        arrived.set()
        await go_on.wait()
        yield DATA[10:20]

    first = asyncio.create_task(stage.pushes.append(key, 0, slowly()))
    await arrived.wait()
    with pytest.raises(UploadBusyError):
        await stage.pushes.append(key, 0, body(b"another"))
    go_on.set()
    assert await first == 20


async def test_a_blob_has_a_bound_and_a_person_too(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    small = Pushes(stage.database, stage.blobs, stage.parts, most_bytes=1000)
    key = small.begin(REPOSITORY, "ana")
    await small.append(key, 0, body(bytes(990)))
    with pytest.raises(TooLargeError, match="1000"):
        await small.append(key, 990, body(bytes(11)))
    monkeypatch.setattr(push_rows, "MOST_AT_ONCE", 2)
    small.begin(REPOSITORY, "ana")
    with pytest.raises(ConflictError, match="unfinished"):
        small.begin(REPOSITORY, "ana")
    small.begin(REPOSITORY, "ben")


async def test_a_session_that_nobody_goes_on_with_is_swept(stage: Stage) -> None:
    key = stage.pushes.begin(REPOSITORY, "ana")
    await stage.pushes.append(key, 0, body(b"some"))
    stage.collect(KEEP - timedelta(hours=1))
    assert stage.pushes.offset(key) == 4
    stage.collect(KEEP + timedelta(hours=1))
    with pytest.raises(PushUnknownError):
        stage.pushes.offset(key)
    assert list(stage.parts.ids()) == []
