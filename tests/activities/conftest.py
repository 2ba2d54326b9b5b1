"""Databases of both kinds, and processes that work on them."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cloud_hub.access.people import new_principal
from cloud_hub.activities.service import Activities
from cloud_hub.db.engine import Database
from tests.activities import journal
from tests.hub.acting import BY, audit, workspaces
from tests.hub.databases import Place

ROOT = Path(__file__).parents[2]


@pytest.fixture
def database(place: Place) -> Database:
    """A migrated database with the workspace shop."""
    database = place.open()
    with database.transaction() as session:
        session.add(new_principal("admin", "person", admin=True, by="admin"))
    workspaces(database).create("shop", BY)
    return database


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the journal kind leaves its traces."""
    path = tmp_path / "traces"
    path.mkdir()
    return path


@dataclass
class Processes:
    """Worker processes of a test."""

    where: str
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *, lease_s: float = 2.0, renew_s: float = 0.3) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.activities.worker_process", self.where]
        process = subprocess.Popen([*command, str(lease_s), str(renew_s)], cwd=ROOT)
        self.running.append(process)
        return process


@pytest.fixture
def processes(place: Place) -> Iterator[Processes]:
    found = Processes(str(place.where))
    yield found
    for process in found.running:
        process.kill()
        process.wait()


@pytest.fixture
def workers(database: Database) -> Iterator[Callable[..., Activities]]:
    """Make `Activities` with the journal kind; all are closed at the end."""
    made: list[Activities] = []

    def make(*, begin: bool = True, max_attempts: int = 3, **options: float) -> Activities:
        at_once = int(options.pop("at_once", 2))
        activities = Activities(database, audit(database), at_once=at_once, **options)  # type: ignore[arg-type]
        activities.register(journal.kind(max_attempts))
        if begin:
            activities.begin()
        made.append(activities)
        return activities

    yield make
    for activities in made:
        activities.close()
