"""The hub's rooms on a remote object store: blobs, telemetry files, queries, sweeping, claiming."""

import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cloud_hub.blobs.claim import claim
from cloud_hub.blobs.errors import ReadCacheError, StoreConfigError, StoreError
from cloud_hub.blobs.parts import FileParts
from cloud_hub.blobs.port import ObjectStore
from cloud_hub.blobs.read_cache import ReadCache
from cloud_hub.blobs.remote import PART_BYTES
from cloud_hub.blobs.service import Blobs
from cloud_hub.blobs.upload_rows import UploadKey
from cloud_hub.blobs.uploads import Uploads
from cloud_hub.core import open_bytes
from cloud_hub.db.engine import Database
from cloud_hub.errors import QueryError
from cloud_hub.settings import Settings
from cloud_hub.telemetry.files import SWEPT_AFTER, Files
from cloud_hub.telemetry.ingest import Arrived, Ingest
from cloud_hub.telemetry.query import Telemetry
from cloud_hub.telemetry.rows import IntentRow, PendingRow
from tests.conformance.fixtures import azure_service, gcs_service, s3_service, service
from tests.conformance.servers import Service, cable_to

__all__ = ["azure_service", "gcs_service", "s3_service", "service"]

BATCH = b'{"epoch":"e","after":0,"first":1,"sampled_at_us":[1,2],"bodies":[{"v":1},{"v":"x"}]}'
NEXT = b'{"epoch":"e","after":2,"first":3,"sampled_at_us":[3],"bodies":[3]}'


@pytest.fixture
def store(service: Service) -> ObjectStore:
    return service.open()


def telemetry_over(
    database: Database, store: ObjectStore, folder: Path, most: int = 1 << 20
) -> tuple[Telemetry, Files]:
    files = Files(database, store)
    return Telemetry(database, ReadCache(store, folder / "cache", most), files), files


async def body_of(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 1 << 20):
        yield data[start : start + (1 << 20)]


async def test_blobs_go_up_and_come_back(store: ObjectStore, database: Database, tmp_path: Path) -> None:
    data = bytes(range(256)) * (PART_BYTES // 256 + 1)
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    blobs = Blobs(database, store, tmp_path / "work")
    uploads = Uploads(database, blobs, FileParts(tmp_path / "uploads"), most_bytes=1 << 30)
    await uploads.put(UploadKey("shop", "ana", digest), len(data), body_of(data))
    assert b"".join(blobs.read(digest)) == data
    assert b"".join(blobs.read(digest, PART_BYTES - 3, 7)) == data[PART_BYTES - 3 :][:7]
    blobs.copy_to(digest, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data
    assert blobs.exists(digest)
    assert list(store.keys("blobs")) == [f"blobs/sha256/{digest[7:9]}/{digest[7:]}"]


def test_telemetry_is_stored_queried_and_swept(
    store: ObjectStore, database: Database, tmp_path: Path
) -> None:
    ingest = Ingest(database)
    telemetry, files = telemetry_over(database, store, tmp_path)
    ingest.store([Arrived("hl.1.cam-1.telemetry.s", BATCH)])
    assert telemetry.query("shop", "SELECT seq FROM S ORDER BY seq").rows == [(1,), (2,)]
    ingest.store([Arrived("hl.1.cam-1.telemetry.s", NEXT)])
    assert telemetry.query("shop", "SELECT count(*) FROM s").rows == [(3,)]
    with database.transaction() as session:
        orphan = "telemetry/shop/s/2026-01-01/orphan.parquet"
        session.add(IntentRow(key=orphan, created_at=datetime.now(UTC) - 2 * SWEPT_AFTER))
    store.put_bytes(orphan, b"1")
    store.put_bytes("telemetry-not/x", b"1")
    assert files.sweep() == 1
    assert len(list(store.keys("telemetry"))) == 2
    assert store.exists("telemetry-not/x")
    assert telemetry.query("shop", "SELECT count(*) FROM s").rows == [(3,)]


def test_the_cache_of_another_workspace_is_out_of_reach(
    store: ObjectStore, database: Database, tmp_path: Path
) -> None:
    Ingest(database).store(
        [Arrived("hl.1.cam-1.telemetry.s", BATCH), Arrived("hl.1.mill-1.telemetry.s", BATCH)]
    )
    telemetry, _ = telemetry_over(database, store, tmp_path)
    assert telemetry.query("lab", "SELECT count(*) FROM s").rows == [(2,)]
    (path,) = (tmp_path / "cache").rglob("*.parquet")
    assert "/lab/" in str(path)
    assert telemetry.query("lab", f"SELECT count(*) FROM read_parquet('{path}')").rows == [(2,)]
    for reached in (path, f"{tmp_path}/cache/files/telemetry/shop/../lab/**/*.parquet"):
        with pytest.raises(QueryError, match=r"[Pp]ermission"):
            telemetry.query("shop", f"SELECT * FROM read_parquet('{reached}')")


def test_only_streams_that_are_named_are_fetched(
    s3_service: Service, database: Database, tmp_path: Path
) -> None:
    Ingest(database).store(
        [Arrived("hl.1.cam-1.telemetry.used", BATCH), Arrived("hl.1.cam-1.telemetry.idle", BATCH)]
    )
    telemetry, _ = telemetry_over(database, s3_service.open(), tmp_path)
    assert telemetry.query("shop", 'SELECT count(*) FROM "USED"').rows == [(2,)]
    assert [path.parts[-3] for path in (tmp_path / "cache").rglob("*.parquet")] == ["used"]


def test_more_than_the_cache_holds_is_refused(
    s3_service: Service, database: Database, tmp_path: Path
) -> None:
    Ingest(database).store([Arrived("hl.1.cam-1.telemetry.s", BATCH)])
    telemetry, _ = telemetry_over(database, s3_service.open(), tmp_path, most=100)
    with pytest.raises(ReadCacheError):
        telemetry.query("shop", "SELECT * FROM s")
    assert telemetry.query("shop", "SELECT 1").rows == [(1,)]


def test_without_the_store_samples_wait_in_the_database(
    service: Service, database: Database, tmp_path: Path
) -> None:
    """What was acknowledged is not lost while the store is away, and is stored once when it is back."""
    prefix = f"away/{tmp_path.name}"
    Ingest(database).store([Arrived("hl.1.cam-1.telemetry.s", BATCH)])
    with cable_to(service) as cable:
        cable.cut()
        gone = Files(database, service.open(service.url(cable.port, prefix)))
        with pytest.raises(StoreError):
            gone.flush()
    with database.transaction() as session:
        assert session.query(PendingRow).count() == 1
    telemetry, _ = telemetry_over(database, service.open(service.url(prefix=prefix)), tmp_path)
    assert telemetry.query("shop", "SELECT seq FROM s ORDER BY seq").rows == [(1,), (2,)]


def test_a_place_belongs_to_one_hub(store: ObjectStore, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
    claim(store, ours, "there")
    claim(store, ours, "there")
    with pytest.raises(StoreConfigError, match="another hub"):
        claim(store, theirs, "there")


def settings_for(folder: Path, url: str, credentials: dict[str, str]) -> Settings:
    folder.mkdir()
    file = folder / "credentials.toml"
    file.touch(mode=0o600)
    file.write_text("".join(f'{name} = "{value}"\n' for name, value in credentials.items()))
    return Settings(data_dir=folder, object_store=url, object_store_credentials=str(file))


def test_the_settings_lead_to_the_store(service: Service, tmp_path: Path) -> None:
    url = service.url()
    store, local = open_bytes(settings_for(tmp_path / "a", url, service.credentials))
    store.put_bytes("telemetry/shop/x", b"12")
    with local.held({"telemetry/shop/x": 2}) as paths:
        assert paths["telemetry/shop/x"].read_bytes() == b"12"
        assert paths["telemetry/shop/x"].is_relative_to(tmp_path / "a" / "cache" / "telemetry")
    with pytest.raises(StoreConfigError, match="another hub"):
        open_bytes(settings_for(tmp_path / "b", url, service.credentials))


def test_without_settings_bytes_are_in_the_data_folder(tmp_path: Path) -> None:
    store, local = open_bytes(Settings(data_dir=tmp_path))
    store.put_bytes("a/x", b"1")
    with local.held({"a/x": 1}) as paths:
        assert paths["a/x"] == tmp_path / "objects" / "a" / "x"
    assert {path.name for path in tmp_path.iterdir()} == {"objects"}
