"""The two kinds of database that the hub's tests run on."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from cloud_hub.db.engine import Database
from tests.postgres import Postgres


@dataclass
class Place:
    """Where a database is; each `open` is one more hub process's view of it."""

    kind: str
    where: Path | str
    _opened: list[Database] = field(default_factory=list)

    def open(self, make: Callable[[Path | str], Database] = Database) -> Database:
        """Return a database of its own connections and its own lock among threads."""
        database = make(self.where)
        self._opened.append(database)
        return database

    def close(self) -> None:
        """Close whatever was opened."""
        for database in self._opened:
            database.close()


@cache
def migrated_sqlite() -> bytes:
    """Return a SQLite database with this release's schema and no rows: migrated once, then copied."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "hub.db"
        database = Database(path)
        database.migrate()
        database.close()
        assert not path.with_name("hub.db-wal").exists(), "the file has all of it"
        return path.read_bytes()


class Servers:
    """The session's PostgreSQL server, with a database that is migrated once and then copied."""

    def __init__(self, server: Postgres) -> None:
        self.server = server
        self._migrated = ""

    def empty(self) -> str:
        """Return the name of a new, empty database."""
        return self.server.create()

    def migrated(self) -> str:
        """Return the name of a new database with this release's schema."""
        if not self._migrated:
            name = self.server.create()
            database = Database(self.server.url(name))
            database.migrate()
            database.close()
            self._migrated = name
        return self.server.create(self._migrated)
