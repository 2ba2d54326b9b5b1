"""Every race on both databases, run by threads of two hubs: a lock within one process is not enough."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cloud_hub.blobs.folder import FolderStore
from cloud_hub.db.engine import Database
from cloud_hub.telemetry import places
from cloud_hub.telemetry.files import Files
from cloud_hub.telemetry.ingest import Ingest
from cloud_hub.telemetry.rows import FileRow, PendingRow, RejectRow
from tests.hub.databases import Place
from tests.hub.races import (
    RACES,
    FailingDatabase,
    Start,
    at_once,
    blob_links,
    generations,
    image_versions,
    meeting_before_writing,
    model_versions,
    one_time_token,
)
from tests.hub.test_exactly_once import batch, stored

RACERS = 16
# These need no turns. On SQLite a row is written before anything is read: its own write lock is held
# by then. Names of models, models and blobs are locked by their rows (`FOR UPDATE`) besides.
RIGHT_BY_ITSELF = [
    ("sqlite", generations),
    ("postgresql", model_versions),
    ("postgresql", image_versions),
    ("postgresql", blob_links),
]


@pytest.fixture(params=RACES, ids=lambda start: start.__name__)
def start(request: pytest.FixtureRequest) -> Start:
    """Each race."""
    found: Start = request.param
    return found


@pytest.fixture
def hubs(database: Database, place: Place) -> list[Database]:
    """The same database as two hub processes see it."""
    return [database, place.open()]


def test_a_race_ends_right(hubs: list[Database], tmp_path: Path, start: Start) -> None:
    race = start(hubs, tmp_path)
    results = at_once(50 if start is one_time_token else RACERS, race.act)
    assert race.right(results), results


def test_two_that_could_meet_between_reading_and_writing_do_not(
    hubs: list[Database], tmp_path: Path, start: Start
) -> None:
    race = start(hubs, tmp_path)
    with meeting_before_writing():
        results = at_once(2, race.act)
    assert race.right(results), results


def test_negative_control_without_turns_the_judge_says_no(
    database: Database, place: Place, tmp_path: Path, start: Start
) -> None:
    race = start([place.open(FailingDatabase), place.open(FailingDatabase)], tmp_path)
    with meeting_before_writing():
        results = at_once(2, race.act)
    assert race.right(results) is ((place.kind, start) in RIGHT_BY_ITSELF), results


class MeetingStore(FolderStore):
    """A store in which two writers wait for each other: both have read what is pending by then."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.barrier = threading.Barrier(2)

    def put_bytes(self, key: str, data: bytes) -> None:
        """Write once the other one is there too."""
        self.barrier.wait(10)
        super().put_bytes(key, data)


class FailingFiles(Files):
    """Does not look whether its batches are still there."""

    def _commit(
        self,
        pending: list[PendingRow],
        files: list[FileRow],
        aside: list[RejectRow],
        place: places.Place | None = None,
    ) -> bool:
        with self._database.transaction() as session:
            session.add_all([*files, *aside])
            for row in pending:
                found = session.get(PendingRow, row.id)
                if found is not None:
                    session.delete(found)
        return True


def flush_twice_at_once(hubs: list[Database], folder: Path, kind: type[Files]) -> MeetingStore:
    Ingest(hubs[0]).store([batch(1, 20)])
    store = MeetingStore(folder / "objects")
    with ThreadPoolExecutor(2) as pool:
        moved = list(pool.map(lambda hub: kind(hub, store).flush(), hubs))
    assert sum(moved) == (1 if kind is Files else 2)
    return store


def test_two_flushes_write_a_batch_once(hubs: list[Database], tmp_path: Path) -> None:
    store = flush_twice_at_once(hubs, tmp_path, Files)
    assert stored(hubs[0], tmp_path) == list(range(1, 21))
    assert len(list(store.keys("telemetry"))) == 1, "the loser's file was left behind"


def test_negative_control_flushes_that_do_not_look_write_it_twice(
    hubs: list[Database], tmp_path: Path
) -> None:
    flush_twice_at_once(hubs, tmp_path, FailingFiles)
    assert len(stored(hubs[0], tmp_path)) == 40
