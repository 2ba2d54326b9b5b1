"""SQL over a workspace's telemetry with DuckDB: one statement, read-only, bounded.

Each stream that the statement may name is a view of its Parquet files that count; they are read in
place, or through a cache where the object store, or the datastore, is elsewhere. The connection reaches
nothing else: other files, the network and settings are locked before the person's statement is seen.
"""

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any

import duckdb
import pyarrow as pa
from sqlalchemy import select

from cloud_hub.blobs.errors import StoreError
from cloud_hub.blobs.port import LocalFiles
from cloud_hub.db.engine import Database
from cloud_hub.errors import QueryError
from cloud_hub.telemetry.attached import AttachedFiles
from cloud_hub.telemetry.files import PREFIX, Files
from cloud_hub.telemetry.rows import FileRow
from cloud_hub.telemetry.state import TelemetryState, state_of

MAX_ROWS = 100_000
TIMEOUT_S = 30.0
MEMORY_LIMIT = "1GB"
ROWS_AT_ONCE = 2_048
MAX_RESULT_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Result:
    """Names of the columns, and the rows; ``truncated`` where there were more than asked for."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    truncated: bool


class Telemetry:
    """Reads what is stored. Everything acknowledged before the call is seen by it."""

    def __init__(
        self, database: Database, local: LocalFiles, files: Files, attached: AttachedFiles | None = None
    ) -> None:
        self._database = database
        self._local = local
        self._files = files
        self._attached = attached

    def query(
        self,
        workspace: str,
        sql: str,
        most_rows: int = MAX_ROWS,
        *,
        tables: Mapping[str, pa.Table] = MappingProxyType({}),
    ) -> Result:
        """Run one SELECT; raises `QueryError` with DuckDB's reason, and `StoreError` where files are away.

        ``tables`` stand beside the streams, and in place of those of the same name.
        """
        self._files.flush(workspace)
        streams = [row for row in self._rows(workspace) if row.stream not in tables]
        named = [row for row in streams if _may_name(sql, row.stream)]
        with (
            self._held(workspace, named) as paths,
            duckdb.connect(":memory:") as connection,
        ):
            for stream, rows in groupby(named, key=lambda row: row.stream):
                _make_view(connection, stream, [str(paths[row.key]) for row in rows])
            for name, table in tables.items():
                connection.register(name, table)
            _lock(connection, self._folders(workspace), [str(path) for path in paths.values()])
            try:
                return _run(connection, sql, min(most_rows, MAX_ROWS))
            except (duckdb.Error, pa.ArrowException, OverflowError, ValueError) as error:
                raise QueryError(
                    str(error).partition("\n")[0], where="sql", fix="Correct the query."
                ) from error

    def streams(self, workspace: str) -> list[dict[str, Any]]:
        """Return each stream's name, rows and bytes in files."""
        self._files.flush(workspace)
        totals: dict[str, dict[str, Any]] = {}
        for row in self._rows(workspace):
            total = totals.setdefault(
                row.stream, {"stream": row.stream, "rows": 0, "size_bytes": 0, "files": 0}
            )
            total["rows"] += row.rows
            total["size_bytes"] += row.size_bytes
            total["files"] += 1
        return list(totals.values())

    def state(self, workspace: str) -> TelemetryState:
        """Return where a workspace's telemetry is, and what waits."""
        chosen = self._files.chosen(workspace)
        with self._database.reading() as session:
            return state_of(session, workspace, chosen, self._files.waits)

    def forget_wait(self, workspace: str) -> None:
        """Let the next flush try at once: something was changed."""
        self._files.waits.worked(workspace)

    @contextmanager
    def _held(self, workspace: str, rows: Sequence[FileRow]) -> Iterator[dict[str, Path]]:
        """Keep files; each cache is asked once and always in this order, so nobody waits for each other."""
        own = {row.key: row.size_bytes for row in rows if row.datastore is None}
        elsewhere = [row for row in rows if row.datastore is not None]
        with self._local.held(own) as paths:
            if self._attached is None or not elsewhere:
                yield paths
                return
            with self._attached.held(workspace, elsewhere) as others:
                yield paths | others

    def _folders(self, workspace: str) -> list[str]:
        """Return the folders that hold files of this workspace alone."""
        folders = [self._local.folder(f"{PREFIX}/{workspace}")]
        if self._attached is not None:
            folders.append(self._attached.folder(workspace))
        return [str(folder) for folder in folders]

    def _rows(self, workspace: str) -> list[FileRow]:
        query = select(FileRow).where(FileRow.workspace == workspace).order_by(FileRow.stream, FileRow.key)
        with self._database.reading() as session:
            return list(session.scalars(query).all())


def _may_name(sql: str, stream: str) -> bool:
    """Does the name stand alone anywhere in ``sql``, were it in a text or a comment?"""
    return re.search(rf"(?<!\w){re.escape(stream)}(?!\w)", sql, re.IGNORECASE) is not None


def _make_view(connection: duckdb.DuckDBPyConnection, stream: str, paths: list[str]) -> None:
    try:
        connection.read_parquet(paths).create_view(stream)
    except duckdb.Error as error:
        raise StoreError(
            "a telemetry file cannot be read", where=stream, fix="Restore it; see the hub's log."
        ) from error


def _lock(connection: duckdb.DuckDBPyConnection, folders: list[str], paths: list[str]) -> None:
    """Leave nothing to be read but these; in a shared folder the files by themselves, and no links there."""
    connection.execute("SET threads = 2")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
    connection.execute("SET temp_directory = ''")  # one caller's spilled rows are another's to read
    connection.execute("SET allowed_directories = ?", [folders])
    connection.execute("SET allowed_paths = ?", [paths])
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def require_one_select(sql: str) -> None:
    """Raise `QueryError` unless ``sql`` is one SELECT by its grammar; what it names need not be there."""
    with duckdb.connect(":memory:") as connection:
        try:
            _one_select(connection, sql)
        except duckdb.Error as error:
            raise QueryError(str(error).partition("\n")[0], where="sql", fix="Correct the query.") from error


def _one_select(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise QueryError("exactly one SELECT is allowed", where="sql", fix="Write one SELECT statement.")
    return statements[0].query


def _run(connection: duckdb.DuckDBPyConnection, sql: str, most_rows: int) -> Result:
    select_sql = _one_select(connection, sql)
    timer = threading.Timer(TIMEOUT_S, connection.interrupt)
    timer.start()
    try:
        # By Arrow, not by Python rows: those would need a package more for times with a zone.
        reader = connection.sql(select_sql).to_arrow_reader(ROWS_AT_ONCE)
        rows: list[tuple[Any, ...]] = []
        size_bytes = 0
        for batch in reader:
            size_bytes += batch.nbytes
            if size_bytes > MAX_RESULT_BYTES:
                raise QueryError(
                    f"the result is larger than {MAX_RESULT_BYTES} bytes", where="sql", fix="Ask for less."
                )
            rows += zip(*(column.to_pylist() for column in batch.columns), strict=True)
            if len(rows) > most_rows:
                break
        columns = reader.schema.names
    finally:
        timer.cancel()
    return Result(columns, rows[:most_rows], truncated=len(rows) > most_rows)
