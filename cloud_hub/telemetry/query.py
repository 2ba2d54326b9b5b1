"""SQL over a workspace's telemetry with DuckDB: one statement, read-only, bounded.

Each stream is a view of its Parquet files that count. The connection reaches nothing else: other
files, the network and settings are locked before the person's statement is seen.
"""

import threading
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
from sqlalchemy import select

from cloud_hub.blobs.folder import FolderStore
from cloud_hub.db.engine import Database
from cloud_hub.errors import QueryError
from cloud_hub.telemetry.files import PREFIX, Files
from cloud_hub.telemetry.rows import FileRow

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

    def __init__(self, database: Database, store: FolderStore, files: Files) -> None:
        self._database = database
        self._store = store
        self._files = files

    def query(self, workspace: str, sql: str, most_rows: int = MAX_ROWS) -> Result:
        """Run one SELECT; raises `QueryError` with DuckDB's reason."""
        self._files.flush()
        with duckdb.connect(":memory:") as connection:
            for stream, paths in self._paths(workspace).items():
                source = connection.read_parquet(paths)
                source.create_view(stream)
            _lock(connection, str(self._store.path(f"{PREFIX}/{workspace}")))
            try:
                return _run(connection, sql, min(most_rows, MAX_ROWS))
            except (duckdb.Error, pa.ArrowException, OverflowError, ValueError) as error:
                raise QueryError(
                    str(error).partition("\n")[0], where="sql", fix="Correct the query."
                ) from error

    def streams(self, workspace: str) -> list[dict[str, Any]]:
        """Return each stream's name, rows and bytes in files."""
        self._files.flush()
        totals: dict[str, dict[str, Any]] = {}
        for row in self._rows(workspace):
            total = totals.setdefault(
                row.stream, {"stream": row.stream, "rows": 0, "size_bytes": 0, "files": 0}
            )
            total["rows"] += row.rows
            total["size_bytes"] += row.size_bytes
            total["files"] += 1
        return list(totals.values())

    def _rows(self, workspace: str) -> list[FileRow]:
        query = select(FileRow).where(FileRow.workspace == workspace).order_by(FileRow.stream, FileRow.key)
        with self._database.reading() as session:
            return list(session.scalars(query).all())

    def _paths(self, workspace: str) -> dict[str, list[str]]:
        paths: dict[str, list[str]] = {}
        for row in self._rows(workspace):
            paths.setdefault(row.stream, []).append(str(self._store.path(row.key)))
        return paths


def _lock(connection: duckdb.DuckDBPyConnection, folder: str) -> None:
    connection.execute("SET threads = 2")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
    connection.execute("SET temp_directory = ''")  # one caller's spilled rows are another's to read
    connection.execute("SET allowed_directories = ?", [[folder]])
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _run(connection: duckdb.DuckDBPyConnection, sql: str, most_rows: int) -> Result:
    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise QueryError("exactly one SELECT is allowed", where="sql", fix="Write one SELECT statement.")
    timer = threading.Timer(TIMEOUT_S, connection.interrupt)
    timer.start()
    try:
        # By Arrow, not by Python rows: those would need a package more for times with a zone.
        reader = connection.sql(statements[0].query).to_arrow_reader(ROWS_AT_ONCE)
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
