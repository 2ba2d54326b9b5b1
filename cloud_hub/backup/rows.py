"""Rows as text, one file a table: read at one instant, and the same for SQLite and PostgreSQL."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    DateTime,
    LargeBinary,
    MetaData,
    Table,
    bindparam,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.orm import Session

from cloud_hub.backup.errors import RestoreError
from cloud_hub.db.base import UtcTime

ROWS_AT_ONCE = 500
VERSIONS = "alembic_version"


@dataclass(frozen=True)
class DumpedTable:
    """A table's file: how many rows, and the digest of the file."""

    name: str
    rows: int
    sha256: str


def dump(session: Session, metadata: MetaData, folder: Path) -> list[DumpedTable]:
    """Write every table of ``metadata`` into ``folder``, as one transaction sees them."""
    folder.mkdir(parents=True)
    return [_dump_table(session, table, folder / f"{table.name}.jsonl") for table in metadata.sorted_tables]


def _dump_table(session: Session, table: Table, path: Path) -> DumpedTable:
    digester, rows = hashlib.sha256(), 0
    encoders = {column.name: _encoder(column) for column in table.columns}
    with path.open("wb") as file:
        found = session.execute(select(table).order_by(*table.primary_key.columns))
        for row in found.yield_per(ROWS_AT_ONCE).mappings():
            values = {name: encode(row[name]) for name, encode in encoders.items()}
            line = json.dumps(values, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
            digester.update(line)
            file.write(line)
            rows += 1
    return DumpedTable(table.name, rows, digester.hexdigest())


def load(connection: Connection, metadata: MetaData, folder: Path, tables: list[DumpedTable]) -> None:
    """Insert what `dump` wrote into empty tables; raises `RestoreError` where a file is not as it was.

    ``metadata`` is that of the schema which the backup was made of.
    """
    known = {table.name: table for table in metadata.sorted_tables}
    dumped = {table.name: table for table in tables}
    if dumped.keys() != known.keys():
        raise RestoreError(
            "the backup's tables are not those of its schema", where=", ".join(dumped.keys() ^ known.keys())
        )
    for name, table in known.items():
        if connection.execute(select(table).limit(1)).first() is not None:
            raise RestoreError("the database is not empty", where=name, fix="Restore into a new database.")
        _load_table(connection, table, folder / f"{name}.jsonl", dumped[name])
    if connection.dialect.name == "postgresql":
        _go_on_counting(connection, known.values())


def _load_table(connection: Connection, table: Table, path: Path, dumped: DumpedTable) -> None:
    decoders = {column.name: _decoder(column) for column in table.columns}
    digester, rows, batch = hashlib.sha256(), 0, []
    # A run may stand before the one it is a part of: such columns are filled in when all rows are there.
    later: dict[str, list[dict[str, Any]]] = {
        key.parent.name: [] for key in table.foreign_keys if key.column.table is table
    }
    for line in _lines(path):
        digester.update(line)
        rows += 1
        try:
            values = json.loads(line)
            batch.append({name: decode(values[name]) for name, decode in decoders.items()})
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(path) from error
        for name, waiting in later.items():
            if batch[-1][name] is not None:
                keys = {f"key_{column.name}": batch[-1][column.name] for column in table.primary_key}
                waiting.append(keys | {"value": batch[-1][name]})
                batch[-1][name] = None
        if len(batch) == ROWS_AT_ONCE:
            connection.execute(insert(table), batch)
            batch = []
    if batch:
        connection.execute(insert(table), batch)
    if (rows, digester.hexdigest()) != (dumped.rows, dumped.sha256):
        raise _damaged(path)
    for name, waiting in later.items():
        if waiting:
            same = [column == bindparam(f"key_{column.name}") for column in table.primary_key]
            connection.execute(update(table).where(*same).values({name: bindparam("value")}), waiting)


def _damaged(path: Path) -> RestoreError:
    return RestoreError(
        "a file of the backup is not as it was written", where=str(path), fix="Use another backup."
    )


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except FileNotFoundError as error:
        raise RestoreError("a file of the backup is missing", where=str(path)) from error


def _go_on_counting(connection: Connection, tables: Any) -> None:  # noqa: ANN401  a view of a dict
    """Numbers that PostgreSQL gives out go on behind those that were inserted."""
    for table in tables:
        for column in table.primary_key.columns:
            sequence = connection.execute(
                text("SELECT pg_get_serial_sequence(:table, :column)"),
                {"table": table.name, "column": column.name},
            ).scalar()
            if sequence is not None:
                newest = f'SELECT coalesce(max("{column.name}"), 0) + 1 FROM "{table.name}"'  # noqa: S608  our own names
                connection.execute(text(f"SELECT setval('{sequence}', ({newest}), false)"))


def _encoder(column: Column[Any]) -> Callable[[Any], Any]:
    match column.type:
        case UtcTime() | DateTime():
            return lambda value: value if value is None else value.isoformat()
        case LargeBinary():
            return lambda value: value if value is None else base64.b64encode(value).decode()
        case _:
            return lambda value: value


def _decoder(column: Column[Any]) -> Callable[[Any], Any]:
    match column.type:
        case UtcTime() | DateTime():
            return lambda value: value if value is None else datetime.fromisoformat(value)
        case LargeBinary():
            return lambda value: value if value is None else base64.b64decode(value)
        case JSON():
            return lambda value: value
        case _:
            return lambda value: value
