"""A real PostgreSQL server for tests: in a folder of its own, on the loopback and a Unix socket."""

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from simulators.demo.stage import free_port

DEBIAN = Path("/usr/lib/postgresql")
START_TIMEOUT_S = 60.0
SUPERUSER = "postgres"
NUMBERS = itertools.count(1)


def find_programs() -> Path | None:
    """Return the folder of `initdb` and `postgres`: that on the PATH, else Debian's newest."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    versions = [path for path in DEBIAN.glob("*/bin") if (path / "initdb").exists()]
    return max(versions, key=lambda path: int(path.parent.name), default=None)


def why_not() -> str:
    """Return why no server can be started here, or nothing."""
    if find_programs() is None:
        return "there is no PostgreSQL server (Debian, Ubuntu: apt install postgresql)"
    if os.geteuid() == 0 and _owner() is None:
        return "PostgreSQL does not run as root, and there is no user postgres"
    return ""


def _owner() -> str | None:
    """Return whom the server runs as where we are root, whom it refuses."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return None


class Postgres:
    """One server. Over TCP it asks for a password, over its socket it does not."""

    def __init__(self, folder: Path) -> None:
        programs = find_programs()
        assert programs is not None
        self._programs = programs
        self.folder = folder
        self.port = free_port()
        self.newest = ""
        self._process: subprocess.Popen[bytes] | None = None
        owner = _owner()
        if owner is not None:
            shutil.chown(folder, owner, pwd.getpwnam(owner).pw_gid)
        self._run(
            "initdb", "--pgdata", str(folder / "data"), "--username", SUPERUSER, "--encoding", "UTF8",
            "--locale", "C", "--auth-local", "trust", "--auth-host", "scram-sha-256", "--no-sync",
        )  # fmt: skip

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "fsync": "off",  # these tests are of logic; durability is PostgreSQL's own
            "max_connections": "200",
            "shared_buffers": "32MB",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", str(self.folder / "data"), *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, **self._as_owner(),
            )  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                self._admin().close()
                return
            except psycopg.OperationalError:
                ended = self._process.poll() is not None
                assert not ended, (self.folder / "log").read_text()
                assert time.monotonic() < deadline, (self.folder / "log").read_text()
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop it at once; clients are disconnected."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGINT)
            process.wait(START_TIMEOUT_S)

    def url(self, database: str) -> str:
        """Return the hub's setting for a database of this server, over its socket."""
        return f"postgresql://{SUPERUSER}@/{database}?host={self.folder}&port={self.port}"

    def create(self, template: str = "template0") -> str:
        """Make a database, a copy of ``template`` which nobody may be connected to; return its name."""
        name = self.newest = f"hub_{next(NUMBERS)}"
        with self._admin() as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )
        return name

    def drop(self, database: str) -> None:
        """Drop a database."""
        with self._admin() as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))

    def create_role(self, name: str, password: str, database: str) -> None:
        """Make a role that logs in by password and owns ``database``."""
        role = sql.Identifier(name)
        with self._admin() as connection:
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(password))
            )
            connection.execute(
                sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(database), role)
            )

    def _admin(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host=str(self.folder), port=self.port, user=SUPERUSER, dbname="postgres", autocommit=True
        )

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._programs / program, *arguments],
            capture_output=True, text=True, check=False, cwd=self.folder, **self._as_owner(),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def _as_owner(self) -> dict[str, Any]:
        owner = _owner()
        if owner is None:
            return {}
        entry = pwd.getpwnam(owner)
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


@contextmanager
def running_server() -> Iterator[Postgres]:
    """A server that runs, in a folder whose name is short enough for a socket; gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="hl-pg-"))
    try:
        server = Postgres(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
