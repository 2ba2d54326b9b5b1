"""Telemetry in a workspace's datastore: switches, kills, and a place that is away.

The judge asks a query for every sample that was ingested: each is there once, wherever its file is.
"""

import json
import threading
from pathlib import Path

import pytest

from cloud_hub.blobs.errors import StoreError
from cloud_hub.blobs.port import ObjectStore
from cloud_hub.datastores.service import Datastores
from cloud_hub.datastores.telemetry import TelemetryStores
from cloud_hub.db.engine import Database
from cloud_hub.errors import DatabaseUnavailableError
from cloud_hub.secrets.text import SecretText
from cloud_hub.telemetry.files import Files
from cloud_hub.telemetry.places import Place
from cloud_hub.telemetry.rows import FileRow, PendingRow
from tests.conformance.fixtures import azure_service, gcs_service, s3_service, service
from tests.conformance.servers import Service, cable_to
from tests.hub.acting import BY
from tests.hub.telemetry_stage import Stage, furnished, parquet

__all__ = ["azure_service", "gcs_service", "s3_service", "service"]


@pytest.fixture
def stage(database: Database, tmp_path: Path) -> Stage:
    return furnished(database, tmp_path)


def test_files_go_where_the_workspace_chose_and_earlier_ones_stay(stage: Stage) -> None:
    stage.ingest(1, 3)
    assert stage.stored() == [1, 2, 3]
    stage.attach()
    stage.ingest(4, 6)
    assert stage.stored() == [1, 2, 3, 4, 5, 6]
    stage.stores.choose("shop", None, BY)
    stage.ingest(7, 9)
    assert stage.stored() == list(range(1, 10))
    assert [row.datastore for row in stage.rows()] == [None, "lake", None]
    assert len(parquet(stage.folder / "objects")) == 2
    (there,) = parquet(stage.share)
    assert there.relative_to(stage.share).as_posix() == f"headland/{stage.rows()[1].key}"
    assert [(h.datastore, h.files, h.rows) for h in stage.state().held] == [(None, 2, 6), ("lake", 1, 3)]
    assert list(stage.folder.glob("cache-*/files/*")) == [], "a folder is read in place"


def test_a_bucket_is_written_and_read_through_a_cache(stage: Stage, service: Service) -> None:
    stage.ingest(1, 3)
    stage.files.flush()
    stage.attach(service.url(prefix=f"lake/{stage.folder.name}"), credentials=service.credentials)
    stage.ingest(4, 6)
    assert stage.stored() == [1, 2, 3, 4, 5, 6]
    store = service.open(service.url(prefix=f"lake/{stage.folder.name}"))
    assert [key.rpartition(".")[2] for key in store.keys("headland/telemetry")] == ["txt", "parquet"]
    (cached,) = parquet(stage.folder / "cache-1")
    assert cached.is_relative_to(stage.folder / "cache-1" / "files" / "shop" / "lake")
    assert stage.stored() == [1, 2, 3, 4, 5, 6]


def test_a_datastore_in_the_hubs_own_store_can_be_chosen(stage: Stage) -> None:
    stage.attach("hub:")
    stage.ingest(1, 3)
    assert stage.stored() == [1, 2, 3]
    (file,) = parquet(stage.folder / "objects")
    assert file.is_relative_to(stage.folder / "objects" / "datastores" / "shop" / "lake" / "headland")
    assert stage.files.sweep() == 0


def test_batches_that_wait_at_the_switch_go_to_the_new_place(stage: Stage) -> None:
    stage.ingest(1, 3)
    stage.attach()
    assert stage.files.flush_own() == 0
    assert stage.files.flush_attached() == 1
    assert [row.datastore for row in stage.rows()] == ["lake"]
    assert stage.stored() == [1, 2, 3]


class KilledFiles(Files):
    """Dies between writing the files and committing their rows."""

    def _commit(
        self,
        pending: list[PendingRow],
        files: list[FileRow],
        aside: list[object],  # type: ignore[override]
        place: Place | None = None,
    ) -> bool:
        raise KeyboardInterrupt


@pytest.mark.parametrize("switch_after", [False, True])
def test_a_kill_between_file_and_row_loses_and_repeats_nothing(stage: Stage, switch_after: bool) -> None:
    stage.attach()
    stage.ingest(1, 3)
    stage.start(KilledFiles)
    with pytest.raises(KeyboardInterrupt):
        stage.files.flush("shop")
    assert len(parquet(stage.share)) == 1, "it was killed after it had written"
    if switch_after:
        stage.stores.choose("shop", None, BY)
    stage.start()
    stage.files.sweep()
    assert stage.stored() == [1, 2, 3]
    assert len(parquet(stage.share)) == (1 if switch_after else 2)


def test_two_flushes_into_a_datastore_write_a_batch_once(stage: Stage) -> None:
    """Of two hubs: each has read what is pending before the other has written."""
    stage.attach()
    stage.ingest(1, 3)
    barrier = threading.Barrier(2)

    class MeetingFiles(Files):
        def _write(self, key: str, rows: list[PendingRow], place: Place | None) -> FileRow:
            barrier.wait(10)
            return super()._write(key, rows, place)

    hubs = [MeetingFiles(stage.database, stage.own, stage.stores) for _ in range(2)]
    threads = [threading.Thread(target=hub.flush) for hub in hubs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stage.stored() == [1, 2, 3]
    assert len(parquet(stage.share)) == 1, "the loser's file was left behind"


def test_a_share_that_is_not_mounted_keeps_its_own_batches_waiting_alone(stage: Stage) -> None:
    stage.attach()
    stage.ingest(1, 3)
    stage.share.rename(stage.folder / "elsewhere")
    stage.share.mkdir()  # the bare mount point
    stage.ingest(1, 2, device="mill-1")
    assert stage.files.flush() == 1
    assert stage.stored("lab") == [1, 2]
    assert stage.pending() == 1
    assert list(stage.share.iterdir()) == [], "written below the mount point"
    state = stage.state()
    assert (state.datastore, state.pending_batches) == ("lake", 1)
    assert state.problem is not None
    assert state.problem.code == "store-failed"
    assert "not what it was" in state.problem.what
    with pytest.raises(StoreError, match="waits for its datastore"):
        stage.stored()
    stage.share.rmdir()
    (stage.folder / "elsewhere").rename(stage.share)
    stage.start()
    assert stage.stored() == [1, 2, 3]
    assert stage.state().problem is None


def test_negative_control_with_a_mark_it_is_written_below_the_mount_point(stage: Stage) -> None:
    stage.attach()
    stage.share.rename(stage.folder / "elsewhere")
    mark = stage.share / "headland" / "telemetry" / "README.txt"
    mark.parent.mkdir(parents=True)
    mark.touch()
    stage.ingest(1, 3)
    stage.files.flush()
    assert len(parquet(stage.share)) == 1


def test_a_bucket_that_is_away_keeps_its_own_batches_waiting_alone(stage: Stage, s3_service: Service) -> None:
    with cable_to(s3_service) as cable:
        stage.attach(s3_service.url(cable.port), credentials=s3_service.credentials)
        stage.ingest(1, 3)
        stage.ingest(1, 2, device="mill-1")
        cable.cut()
        assert stage.files.flush() == 1
    assert stage.stored("lab") == [1, 2]
    problem = stage.state().problem
    assert problem is not None
    assert problem.code == "store-failed"
    assert not any(value in str(problem) for value in s3_service.credentials.values())
    stage.stores.choose("shop", None, BY)
    assert stage.stored() == [1, 2, 3]


class HangingStore:
    """Stands still in the middle of a write until it is let go."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.reached, self.go = threading.Event(), threading.Event()

    def put_bytes(self, key: str, data: bytes) -> None:
        self.reached.set()
        assert self.go.wait(30)
        self._store.put_bytes(key, data)


class HangingStores(TelemetryStores):
    """The datastore of shop hangs."""

    hanging: HangingStore

    def __init__(self, database: Database, datastores: Datastores) -> None:
        super().__init__(database, datastores)
        self.ready = threading.Event()

    def place_of(self, workspace: str) -> Place | None:
        place = super().place_of(workspace)
        if place is None or workspace != "shop":
            return place
        self.hanging = HangingStore(place.store)
        self.ready.set()
        return Place(place.datastore, place.since, self.hanging)  # type: ignore[arg-type]


def test_one_that_hangs_holds_up_no_other_workspace(stage: Stage) -> None:
    stage.attach()
    (stage.folder / "lab").mkdir()
    stage.attach(str(stage.folder / "lab"), "lab")
    stage.stores = HangingStores(stage.database, stage.datastores)
    stage.start()
    stage.ingest(1, 3)
    stage.ingest(1, 2, device="mill-1")
    flushing = threading.Thread(target=stage.files.flush_attached)
    flushing.start()
    assert stage.stores.ready.wait(30)
    hanging = stage.stores.hanging
    assert hanging.reached.wait(30)
    assert stage.stored("lab") == [1, 2]
    assert stage.files.flush_own() == 0
    assert stage.pending() == 1, "shop's batch still waits, and was waited for by nobody"
    hanging.go.set()
    flushing.join()
    assert stage.pending() == 0


def test_an_unusable_place_is_said_when_it_is_chosen_and_changes_nothing(
    stage: Stage, s3_service: Service
) -> None:
    with cable_to(s3_service) as cable:
        stage.secrets.write("shop", "key", SecretText(json.dumps(s3_service.credentials)), BY)
        stage.datastores.attach("shop", "lake", s3_service.url(cable.port), "key", BY, default=False)
        cable.cut()
        with pytest.raises(StoreError):
            stage.stores.choose("shop", "lake", BY)
    assert stage.state().datastore is None


def test_a_secret_that_is_gone_is_a_state_and_a_new_one_ends_it(stage: Stage, s3_service: Service) -> None:
    stage.attach(s3_service.url(), credentials=s3_service.credentials)
    stage.ingest(1, 3)
    stage.secrets.destroy("shop", "key", None, BY)
    assert stage.files.flush() == 0
    problem = stage.state().problem
    assert problem is not None
    assert problem.code == "not-found"
    stage.secrets.write("shop", "key", SecretText(json.dumps(s3_service.credentials)), BY)
    stage.telemetry.forget_wait("shop")
    assert stage.stored() == [1, 2, 3]


def test_a_database_that_is_away_is_no_failure_of_the_datastore(stage: Stage) -> None:
    stage.attach()
    stage.ingest(1, 3)

    class FailingStores(TelemetryStores):
        def place_of(self, workspace: str) -> Place | None:
            raise DatabaseUnavailableError("away", where=workspace)

    stage.stores = FailingStores(stage.database, stage.datastores)
    stage.start()
    with pytest.raises(DatabaseUnavailableError):
        stage.files.flush()
    assert stage.state().problem is None


def test_a_place_that_is_away_is_not_asked_for_what_is_elsewhere(stage: Stage) -> None:
    stage.ingest(1, 3)
    stage.files.flush()
    stage.attach()
    stage.share.rename(stage.folder / "elsewhere")
    assert stage.stored() == [1, 2, 3]
    assert stage.state().problem is None
