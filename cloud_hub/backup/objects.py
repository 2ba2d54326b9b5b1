"""Bytes of a backup: every object of the hub's store, each with its digest."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cloud_hub.backup.errors import BackupError, RestoreError
from cloud_hub.blobs.port import Entry, ObjectStore

CHUNK_BYTES = 1 << 20
WRITTEN_ONCE = ("blobs/", "telemetry/")
"""Prefixes whose objects never change: a copy that is there from an earlier backup stays."""

Moved = Callable[[int], None]


@dataclass(frozen=True)
class CopiedObject:
    """An object in a backup."""

    key: str
    size_bytes: int
    sha256: str


def copy_out(
    store: ObjectStore, folder: Path, known: dict[str, CopiedObject], moved: Moved
) -> list[CopiedObject]:
    """Copy every object into ``folder``; those of ``known`` that cannot have changed are left as they are."""
    return [_copy_one(store, entry, folder, known, moved) for entry in store.entries()]


def _copy_one(
    store: ObjectStore, entry: Entry, folder: Path, known: dict[str, CopiedObject], moved: Moved
) -> CopiedObject:
    target, before = folder / entry.key, known.get(entry.key)
    if before is not None and entry.key.startswith(WRITTEN_ONCE) and before.size_bytes == entry.size_bytes:
        moved(entry.size_bytes)
        return before
    target.parent.mkdir(parents=True, exist_ok=True)
    digester, size = hashlib.sha256(), 0
    beside = target.with_name(f".{target.name}.part")
    try:
        with store.open(entry.key) as source, beside.open("wb") as file:
            while chunk := source.read(CHUNK_BYTES):
                digester.update(chunk)
                size += file.write(chunk)
                moved(len(chunk))
    except FileNotFoundError:
        raise BackupError(
            "an object was deleted while the backup was made", where=entry.key, fix="Make the backup again."
        ) from None
    beside.replace(target)
    return CopiedObject(entry.key, size, digester.hexdigest())


def copy_in(store: ObjectStore, folder: Path, objects: list[CopiedObject], moved: Moved) -> None:
    """Write the objects of a backup into an empty store, each checked first; raises `RestoreError`."""
    if next(store.entries(), None) is not None:
        raise RestoreError(
            "the object store is not empty", fix="Restore into a new folder, or an empty prefix."
        )
    for item in objects:
        path = folder / item.key
        if not path.is_file() or _digest_of(path) != item.sha256:
            raise RestoreError(
                "an object of the backup is missing or damaged", where=item.key, fix="Use another backup."
            )
        store.put_file(item.key, path)
        moved(item.size_bytes)


def write_list(path: Path, objects: list[CopiedObject]) -> str:
    """Write the list of objects; return the file's digest."""
    data = "".join(json.dumps(vars(item), separators=(",", ":")) + "\n" for item in objects).encode()
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def read_list(path: Path, sha256: str = "") -> list[CopiedObject]:
    """Return what `write_list` wrote; raises `RestoreError` where it has not the digest ``sha256``."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RestoreError("a file of the backup cannot be read", where=str(path)) from error
    if sha256 and hashlib.sha256(data).hexdigest() != sha256:
        raise RestoreError(
            "a file of the backup is not as it was written", where=str(path), fix="Use another backup."
        )
    return [CopiedObject(**json.loads(line)) for line in data.splitlines()]


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
