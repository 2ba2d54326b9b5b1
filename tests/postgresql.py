"""A PostgreSQL server of the tests' own: in a temporary folder, on a Unix socket, as a plain user."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

USER = "postgres"
START_TIMEOUT_S = 30.0


def programs() -> Path | None:
    """Return the folder of the newest server's programs, or none where there is no server."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1].parent
    beside = shutil.which("postgres")
    return Path(beside).parent if beside else None


@contextmanager
def server() -> Iterator["Server"]:
    """Run a server; the folder and everything in it go with it. Only the tests' own data: fsync is off."""
    binaries = programs()
    assert binaries is not None
    folder = Path(tempfile.mkdtemp(prefix="hl-pg-"))
    data = folder / "data"
    _own(folder)
    _run(binaries / "initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync")
    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off -c max_connections=200"
    log = folder / "log"
    _run(
        binaries / "pg_ctl",
        "-D",
        data,
        "-w",
        "-t",
        str(int(START_TIMEOUT_S)),
        "-l",
        log,
        "-o",
        options,
        "start",
    )
    try:
        yield Server(folder)
    finally:
        _run(binaries / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder)


class Server:
    """A running server; databases of it are made from a template, which is quick."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made = 0

    def create(self, template: str = "template1") -> str:
        """Return the name of a new database."""
        self._made += 1
        name = f"hub{self._made}"
        self._execute(f'CREATE DATABASE {name} TEMPLATE "{template}"')
        return name

    def drop(self, name: str) -> None:
        """Delete a database, whoever is connected."""
        self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def url(self, name: str) -> str:
        """Return what the setting `database` takes."""
        return f"postgresql://{USER}@/{name}?host={self._folder}"

    def _execute(self, statement: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                with psycopg.connect(
                    f"host={self._folder} user={USER} dbname=postgres", autocommit=True
                ) as connection:
                    connection.execute(statement.encode())
                return
            except psycopg.errors.ObjectInUse:  # a connection to the template is still closing
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


def _own(folder: Path) -> None:
    if os.geteuid() == 0:  # the server refuses to run as root
        account = pwd.getpwnam(USER)
        os.chown(folder, account.pw_uid, account.pw_gid)


def _run(*command: object) -> None:
    account = USER if os.geteuid() == 0 else None
    done = subprocess.run(
        [str(word) for word in command],
        user=account,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
