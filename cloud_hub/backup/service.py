"""`headland hub backup` and `restore`.

Rows first, at one instant, then bytes. Objects that rows name are never changed, and are deleted only
some time after the last row that named them (`keep_unlinked_s`): what a backup that takes longer
did not find is said, and it is none. One into the folder of an earlier one copies only what is new.
"""

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alembic.migration import MigrationContext
from sqlalchemy import MetaData

from cloud_hub.backup import objects, rows, sealed_keys
from cloud_hub.backup.errors import BackupError, RestoreError
from cloud_hub.backup.objects import CopiedObject, Moved
from cloud_hub.backup.rollouts import hold_rollouts, leave_room
from cloud_hub.backup.rows import DumpedTable
from cloud_hub.blobs.port import ObjectStore
from cloud_hub.blobs.rows import BlobRow
from cloud_hub.blobs.service import key_of
from cloud_hub.db.engine import Database
from cloud_hub.db.schema import METADATA

FORMAT = 1
MANIFEST = "backup.json"
ROWS, OBJECTS, OBJECT_LIST, KEYS = "rows", "objects", "objects.jsonl", "keys.sealed"


def back_up(
    database: Database,
    store: ObjectStore,
    private: Path,
    target: Path,
    *,
    settings: dict[str, Any],
    passphrase: str | None,
    moved: Moved,
) -> dict[str, Any]:
    """Write a backup into ``target``, a new folder or that of an earlier backup; return its manifest.

    Without a passphrase the keys are left out: without them secrets, devices and the audit log of a
    restored hub are of no use. Raises `BackupError`.
    """
    known = _known(target)
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    sealed = sealed_keys.seal(private, passphrase) if passphrase is not None else None
    # From here on it is no backup any more, and not yet a new one.
    (target / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(target / ROWS, ignore_errors=True)
    with database.reading() as session:
        at = datetime.now(UTC)
        revision = MigrationContext.configure(session.connection()).get_current_revision()
        tables = rows.dump(session, METADATA, target / ROWS)
    copied = objects.copy_out(store, target / OBJECTS, known, moved)
    _require_all(target / ROWS, copied)
    (target / KEYS).unlink(missing_ok=True)
    if sealed is not None:
        (target / KEYS).write_bytes(sealed)
    manifest = {
        "format": FORMAT,
        "at": at.isoformat(),
        "schema": revision,
        "tables": [vars(table) for table in tables],
        "objects": len(copied),
        "bytes": sum(item.size_bytes for item in copied),
        "settings": settings,
        "objects_sha256": objects.write_list(target / OBJECT_LIST, copied),
        "keys": sealed is not None,
    }
    _write_last(target, manifest)
    return manifest


def restore(
    source: Path,
    database: Database,
    store: ObjectStore,
    private: Path,
    *,
    passphrase: str | None,
    moved: Moved,
) -> dict[str, Any]:
    """Put a backup into an empty database, an empty store and an empty private folder; return its manifest.

    The schema comes up to this release's, and each device's next generation is beyond what it may have been
    given since. Raises `RestoreError`; what was begun is of no use then.
    """
    manifest = read_manifest(source)
    if manifest["keys"] and passphrase is None:
        raise RestoreError("the backup holds keys", where=str(source), fix="Give --passphrase-file.")
    if any(private.iterdir()):
        raise RestoreError("there are keys already", where=str(private), fix="Restore into a new folder.")
    copied = objects.read_list(source / OBJECT_LIST, manifest["objects_sha256"])
    if manifest["keys"] and passphrase is not None:
        sealed_keys.unseal((source / KEYS).read_bytes(), passphrase, private)
    _load_rows(database, source / ROWS, manifest)
    objects.copy_in(store, source / OBJECTS, copied, moved)
    database.migrate()
    with database.transaction() as session:
        leave_room(session)
        hold_rollouts(session)
    return manifest


def _load_rows(database: Database, folder: Path, manifest: dict[str, Any]) -> None:
    database.migrate(manifest["schema"])
    with database.transaction() as session:
        connection = session.connection()
        metadata = METADATA
        if MigrationContext.configure(connection).get_current_revision() != manifest["schema"]:
            raise RestoreError("the database is not empty", fix="Restore into a new database.")
        tables = [DumpedTable(**table) for table in manifest["tables"]]
        if {table.name for table in tables} != set(METADATA.tables):
            metadata = MetaData()
            metadata.reflect(connection)
            metadata.remove(metadata.tables[rows.VERSIONS])
        rows.load(connection, metadata, folder, tables)


def read_manifest(source: Path) -> dict[str, Any]:
    """Return what a backup says of itself; raises `RestoreError` where it is none, or not whole."""
    try:
        manifest = json.loads((source / MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise RestoreError(
            "that is no backup, or one that was cut off", where=str(source), fix=f"It must have {MANIFEST}."
        ) from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise RestoreError("the backup has another format", where=str(source), fix="Use a newer release.")
    return manifest


def _known(target: Path) -> dict[str, CopiedObject]:
    """Return the objects of an earlier backup; refuses a folder with other things in it."""
    if not target.exists() or not any(target.iterdir()):
        return {}
    if not {path.name for path in target.iterdir()} <= {MANIFEST, ROWS, OBJECTS, OBJECT_LIST, KEYS}:
        raise BackupError(
            "there are other things in the folder", where=str(target), fix="Choose an empty folder."
        )
    if not (target / OBJECT_LIST).exists():
        return {}
    return {item.key: item for item in objects.read_list(target / OBJECT_LIST)}


def _require_all(folder: Path, copied: list[CopiedObject]) -> None:
    """Raise `BackupError` where a row names bytes that are not there any more."""
    there = {item.key for item in copied}
    for line in (folder / f"{BlobRow.__tablename__}.jsonl").read_bytes().splitlines():
        row = json.loads(line)
        if row["unlinked_at"] is None and key_of(row["digest"]) not in there:
            raise BackupError(
                "bytes were deleted while the backup was made",
                where=row["digest"],
                fix="Make it again, and raise keep_unlinked_s where that takes longer.",
            )


def _write_last(target: Path, manifest: dict[str, Any]) -> None:
    beside = target / f".{MANIFEST}"
    with beside.open("w") as file:
        json.dump(manifest, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.sync()
    beside.replace(target / MANIFEST)
