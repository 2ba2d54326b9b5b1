"""Databases of both kinds, and processes that work on them."""

import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cloud_hub.access.people import new_principal
from cloud_hub.activities.service import Activities
from cloud_hub.db.engine import Database
from cloud_hub.workspaces.service import Workspaces
from tests.activities import journal

ROOT = Path(__file__).parents[2]


def prepared(url: str) -> Database:
    """Return a migrated database with the workspace shop."""
    database = Database(url)
    database.migrate()
    with database.transaction() as session:
        session.add(new_principal("admin", "person", admin=True, by="admin"))
    Workspaces(database).create("shop", "admin")
    return database


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server of this session's own, without the database's name."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    programs = found[-1].parent if found else None
    if programs is None or shutil.which("runuser") is None:
        pytest.skip("PostgreSQL is not there (Debian, Ubuntu: apt install postgresql)")
    pytest.importorskip("psycopg")
    folder = Path(tempfile.mkdtemp(prefix="hl-pg-", dir="/tmp"))
    folder.chmod(0o755)
    shutil.chown(folder, "postgres", "postgres")

    def as_postgres(*command: str) -> None:
        subprocess.run(["runuser", "-u", "postgres", "--", *command], check=True, capture_output=True)

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = str(folder / "data")
    as_postgres(str(programs / "initdb"), "-D", data, "-A", "trust", "-U", "hub")
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder}"
    log = str(folder / "log")
    as_postgres(str(programs / "pg_ctl"), "-D", data, "-w", "-l", log, "-o", options, "start")
    try:
        yield f"postgresql+psycopg://hub@127.0.0.1:{port}"
    finally:
        as_postgres(str(programs / "pg_ctl"), "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.system)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new, empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'hub.db'}"
    server: str = request.getfixturevalue("postgres")
    name = f"t{abs(hash(tmp_path))}"
    import psycopg

    with psycopg.connect(server.replace("+psycopg", "") + "/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return f"{server}/{name}"


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = prepared(url)
    yield database
    database.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the journal kind leaves its traces."""
    path = tmp_path / "traces"
    path.mkdir()
    return path


@dataclass
class Processes:
    """Worker processes of a test."""

    url: str
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *, lease_s: float = 2.0, renew_s: float = 0.3) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.activities.worker_process", self.url]
        process = subprocess.Popen([*command, str(lease_s), str(renew_s)], cwd=ROOT)
        self.running.append(process)
        return process


@pytest.fixture
def processes(url: str) -> Iterator[Processes]:
    found = Processes(url)
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
        activities = Activities(database, at_once=at_once, **options)  # type: ignore[arg-type]
        activities.register(journal.kind(max_attempts))
        if begin:
            activities.begin()
        made.append(activities)
        return activities

    yield make
    for activities in made:
        activities.close()
