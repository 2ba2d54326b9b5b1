"""What may not be detached while telemetry is there, and what a query reads of a datastore."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from cloud_hub.backup.service import back_up, restore
from cloud_hub.blobs.errors import StoreError
from cloud_hub.blobs.folder import FolderStore
from cloud_hub.datastores.telemetry import TelemetryStores
from cloud_hub.db.engine import Database
from cloud_hub.errors import DatastoreInUseError, QueryError
from cloud_hub.telemetry.attached import AttachedFiles
from cloud_hub.telemetry.files import Files
from cloud_hub.telemetry.places import Place
from cloud_hub.telemetry.query import Telemetry
from tests.conformance.fixtures import s3_service
from tests.conformance.servers import Service
from tests.hub.acting import BY
from tests.hub.telemetry_stage import ALL, Stage, furnished, parquet

__all__ = ["s3_service"]


@pytest.fixture
def stage(database: Database, tmp_path: Path) -> Stage:
    return furnished(database, tmp_path)


def test_a_datastore_of_telemetry_is_not_detached(stage: Stage) -> None:
    stage.attach()
    with pytest.raises(DatastoreInUseError, match="goes to it"):
        stage.datastores.detach("shop", "lake", BY)
    stage.ingest(1, 3)
    stage.files.flush()
    stage.stores.choose("shop", None, BY)
    with pytest.raises(DatastoreInUseError, match="1 telemetry files that count"):
        stage.datastores.detach("shop", "lake", BY)
    assert stage.stored() == [1, 2, 3]


@pytest.mark.parametrize("url", ["", "hub:"])
def test_one_without_files_that_count_is_detached(stage: Stage, url: str) -> None:
    stage.attach(url)
    stage.stores.choose("shop", None, BY)
    stage.datastores.detach("shop", "lake", BY)
    assert [row.name for row in stage.datastores.all_in("shop")] == ["default"]
    assert list(stage.own.keys("datastores")) == []


class DetachingStores(TelemetryStores):
    """While a file is written, its datastore is detached, and another one gets its name."""

    again = False
    looks = True

    def place_of(self, workspace: str) -> Place | None:
        place = super().place_of(workspace)
        if place is not None:
            self.choose(workspace, None, BY)
            self.datastores.detach(workspace, "lake", BY)
            if self.again:
                self.datastores.attach(workspace, "lake", "hub:", None, BY, default=False)
        return place

    def is_there(self, session: Session, workspace: str, place: Place) -> bool:
        return super().is_there(session, workspace, place) if self.looks else True


@pytest.mark.parametrize("again", [False, True])
def test_a_datastore_that_is_detached_during_a_write_takes_nothing_along(stage: Stage, again: bool) -> None:
    stage.attach()
    stage.ingest(1, 3)
    stage.stores = DetachingStores(stage.database, stage.datastores)
    stage.stores.again = again
    stage.start()
    with pytest.raises(StoreError, match="detached"):
        stage.files.flush("shop")
    assert parquet(stage.share) == []
    assert stage.stored() == [1, 2, 3]
    assert [row.datastore for row in stage.rows()] == [None]


def test_negative_control_who_does_not_look_names_files_that_are_not_there(stage: Stage) -> None:
    stage.attach()
    stage.ingest(1, 3)
    stage.stores = DetachingStores(stage.database, stage.datastores)
    stage.stores.again, stage.stores.looks = True, False
    stage.start()
    stage.files.flush("shop")
    with pytest.raises(StoreError):
        stage.stored()


def test_the_database_itself_refuses_a_file_in_a_datastore_that_is_not_there(stage: Stage) -> None:
    stage.attach()
    stage.ingest(1, 3)
    stage.stores = DetachingStores(stage.database, stage.datastores)
    stage.stores.looks = False
    stage.start()
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        stage.files.flush("shop")
    assert stage.pending() == 1


def test_queries_read_no_more_than_the_workspaces_own_files(stage: Stage, s3_service: Service) -> None:
    stage.attach()
    stage.attach(s3_service.url(), "lab", s3_service.credentials)
    stage.ingest(1, 3)
    stage.ingest(1, 2, device="mill-1")
    assert stage.stored("lab") == [1, 2]
    assert stage.stored() == [1, 2, 3]
    (stage.share / "notes.txt").write_text("of somebody else")
    (mine,) = parquet(stage.share)
    (cached,) = parquet(stage.folder / "cache-1")
    mine.with_name("link.parquet").symlink_to(cached)
    assert stage.telemetry.query("shop", f"SELECT count(*) FROM s, read_parquet('{mine}')").rows == [(9,)]
    for path in (stage.share / "notes.txt", cached, mine.with_name("link.parquet"), f"{mine.parent}/*"):
        with pytest.raises(QueryError, match=r"[Pp]ermission"):
            stage.telemetry.query("shop", f"SELECT count(*) FROM s, read_text('{path}')")


@pytest.mark.parametrize("what", ["gone", "longer", "link", "other"])
def test_a_file_that_others_changed_is_told_and_not_read(stage: Stage, what: str) -> None:
    stage.attach()
    stage.ingest(1, 3)
    assert stage.stored() == [1, 2, 3]
    (path,) = parquet(stage.share)
    data = path.read_bytes()
    path.unlink()
    if what == "longer":
        path.write_bytes(data + b"x")
    elif what == "other":
        path.write_bytes(bytes(len(data)))
    elif what == "link":
        (stage.folder / "canary").write_bytes(data)
        path.symlink_to(stage.folder / "canary")
    with pytest.raises(StoreError):
        stage.stored()


def test_more_than_the_cache_holds_is_refused(stage: Stage, s3_service: Service) -> None:
    stage.most_bytes = 100
    stage.start()
    stage.attach(s3_service.url(), credentials=s3_service.credentials)
    stage.ingest(1, 3)
    with pytest.raises(Exception, match="telemetry_cache_bytes"):
        stage.stored()


def test_after_a_restore_files_in_a_share_are_found_where_they_are(stage: Stage, tmp_path: Path) -> None:
    """They are not in the backup, only the rows that name them are."""
    stage.ingest(1, 3)
    stage.files.flush()
    stage.attach()
    stage.ingest(4, 6)
    assert stage.stored() == [1, 2, 3, 4, 5, 6]
    for name in ("pki", "new-pki", "new"):
        (tmp_path / name).mkdir()
    options: dict[str, Any] = {"passphrase": None, "moved": lambda _: None}
    back_up(stage.database, stage.own, tmp_path / "pki", tmp_path / "backup", settings={}, **options)
    assert len(parquet(tmp_path / "backup")) == 1
    database, store = Database(tmp_path / "new" / "hub.db"), FolderStore(tmp_path / "new" / "objects")
    restore(tmp_path / "backup", database, store, tmp_path / "new-pki", **options)
    places = stage.stores_over(database)
    attached = AttachedFiles(places, tmp_path / "new" / "cache", 1 << 20)
    after = Telemetry(database, store, Files(database, store, places), attached)
    assert after.query("shop", ALL).rows == [(n,) for n in range(1, 7)]
    shutil.rmtree(stage.share)
    with pytest.raises(StoreError):
        after.query("shop", ALL)
    database.close()
