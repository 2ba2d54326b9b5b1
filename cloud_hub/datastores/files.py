"""Files in a datastore: put, read in parts, list by pages, delete."""

import hashlib
import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from starlette.concurrency import run_in_threadpool

from cloud_hub.blobs.port import Entry, ObjectStore, is_key
from cloud_hub.errors import ConflictError, InvalidInputError, NotFoundError, TooLargeError

CHUNK_BYTES = 1 << 20
RESERVED = "headland/telemetry/"
"""Telemetry files of the hub are below it: people read them, the hub alone writes and deletes."""


@dataclass(frozen=True)
class Stored:
    """What was put: its bytes and their digest."""

    key: str
    size_bytes: int
    digest: str


async def put(
    store: ObjectStore, key: str, body: AsyncIterator[bytes], *, most_bytes: int, work_dir: Path
) -> Stored:
    """Take a body in and write it as one object, whole or not at all; raises `TooLargeError`."""
    require_changeable(key)
    digester, size = hashlib.sha256(), 0
    with NamedTemporaryFile(dir=work_dir) as file:
        async for chunk in body:
            size += len(chunk)
            if size > most_bytes:
                raise TooLargeError(
                    f"a file may have {most_bytes} bytes", fix="Raise max_model_bytes in the hub's settings."
                )
            digester.update(chunk)
            await run_in_threadpool(file.write, chunk)
        file.flush()
        await run_in_threadpool(store.put_file, key, Path(file.name))
    return Stored(key, size, f"sha256:{digester.hexdigest()}")


def size_of(store: ObjectStore, key: str) -> int:
    """Return the bytes of an object; raises `NotFoundError`."""
    require_key(key)
    try:
        return store.size(key)
    except FileNotFoundError:
        raise no_such_file(key) from None


def read(store: ObjectStore, key: str, offset: int, length: int) -> Iterator[bytes]:
    """Yield ``length`` bytes from ``offset`` in chunks."""
    left = length
    with store.open(key, offset) as file:
        while left > 0 and (chunk := file.read(min(CHUNK_BYTES, left))):
            left -= len(chunk)
            yield chunk


def page(store: ObjectStore, prefix: str, after: str, limit: int) -> list[Entry]:
    """Return the first objects below ``prefix`` whose keys come after ``after``."""
    if prefix:
        require_key(prefix)
    return list(itertools.islice((e for e in store.entries(prefix) if e.key > after), limit))


def delete(store: ObjectStore, key: str) -> None:
    """Delete an object; raises `NotFoundError`, `ConflictError`."""
    require_changeable(key)
    size_of(store, key)
    store.delete(key)


def require_key(key: str) -> None:
    """Raise `InvalidInputError` for a path that no object can have."""
    if not is_key(key):
        raise InvalidInputError(
            "not a path in a datastore",
            where="path",
            fix="Use parts between / that are not empty and do not begin with a dot.",
        )


def require_changeable(key: str) -> None:
    """Raise `InvalidInputError`, or `ConflictError` for a path that only the hub writes to."""
    require_key(key)
    if f"{key}/".startswith(RESERVED):
        raise ConflictError(
            "the hub keeps telemetry there", where=key, fix="Choose another path; a file there stays."
        )


def no_such_file(key: str) -> NotFoundError:
    """Return the error for an object that is not there."""
    return NotFoundError("no such file in the datastore", where=key)
