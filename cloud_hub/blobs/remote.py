"""`ObjectStore` over S3, Azure Blob, GCS or memory, by way of obstore.

An upload in parts becomes the object at its last step, so one that breaks off leaves nothing to be
seen. Parts of an upload that died with its process stay hidden in an S3 or GCS bucket until a rule of
the bucket removes them; Azure drops them after a week.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, PreconditionError, UnauthenticatedError
from obstore.store import ObjectStore as Native

from cloud_hub.blobs.errors import StoreError
from cloud_hub.blobs.port import Entry, check_key, is_key
from cloud_hub.blobs.ranges import reader
from cloud_hub.blobs.turns import Turns

PART_BYTES = 8 << 20
PARTS_AT_ONCE = 4
KEYS_AT_ONCE = 1_000
NO_BUCKET = ("the bucket or container is not there", "Create it first.")
STATUS = re.compile(r"status code: (\d{3})")


class RemoteStore:
    """Objects in ``native``; ``where`` names it in errors, and holds no secret."""

    def __init__(self, native: Native, where: str) -> None:
        self._native = native
        self._where = where
        self._turns = Turns()

    def put_bytes(self, key: str, data: bytes) -> None:
        """Write an object, replacing what is there."""
        check_key(key)
        with self._turns.of(key), self._writing(), self._told():
            self._put(key, data)

    def put_file(self, key: str, path: Path) -> None:
        """Write an object from a local file, in parts where it is large."""
        check_key(key)
        with path.open("rb") as file:
            first = file.read(PART_BYTES)
            if len(first) < PART_BYTES:
                self.put_bytes(key, first)
                return
            with self._turns.of(key), self._writing(), self._told():
                self._put(key, chain([first], iter(lambda: file.read(PART_BYTES), b"")))

    def open(self, key: str, offset: int = 0) -> BinaryIO:
        """Read from ``offset``."""
        check_key(key)
        with self._told(key):
            found = obstore.head(self._native, key)
        tag = found["e_tag"]

        def fetch(start: int, end: int) -> bytes:
            with self._told(key):
                # The tag: an object that was replaced meanwhile is not read half old, half new.
                options: obstore.GetOptions = {"range": (start, end), "if_match": tag}
                data = bytes(obstore.get(self._native, key, options=options).bytes())
            if len(data) != end - start:
                raise StoreError("an object came back short", where=self._where, fix="Try again.")
            return data

        return reader(fetch, found["size"], offset)

    def size(self, key: str) -> int:
        """Return the bytes of an object."""
        check_key(key)
        with self._told(key):
            return obstore.head(self._native, key)["size"]

    def exists(self, key: str) -> bool:
        """Is there such an object?"""
        try:
            self.size(key)
        except FileNotFoundError:
            return False
        return True

    def delete(self, key: str) -> None:
        """Delete an object; no error where there is none."""
        check_key(key)
        try:
            with self._told(key):
                obstore.delete(self._native, key)
        except FileNotFoundError:
            return

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys below a prefix, in order."""
        return (entry.key for entry in self.entries(check_key(prefix)))

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """Yield the objects below a prefix, in order: sorted here, as not every store does it."""
        with self._writing(), self._told():
            pages = obstore.list(self._native, check_key(prefix) if prefix else None, chunk_size=KEYS_AT_ONCE)
            found = [Entry(meta["path"], meta["size"]) for page in pages for meta in page]
        yield from sorted((entry for entry in found if is_key(entry.key)), key=lambda entry: entry.key)

    def _put(self, key: str, data: bytes | Iterator[bytes]) -> None:
        obstore.put(self._native, key, data, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """What is not found by a call that needs no object is the bucket itself."""
        try:
            yield
        except FileNotFoundError:
            what, fix = NO_BUCKET
            raise StoreError(what, where=self._where, fix=fix) from None

    @contextmanager
    def _told(self, key: str = "") -> Iterator[None]:
        """Tell the library's errors as ours; their own words may hold signed addresses, so they end here."""
        try:
            yield
        except FileNotFoundError:
            raise FileNotFoundError(key) from None
        except BaseError as error:
            what, fix = _reason(error)
            raise StoreError(what, where=self._where, fix=fix) from None


def _reason(error: BaseError) -> tuple[str, str]:
    """Return what happened and what to do, by the kind of ``error``; of its text only an HTTP status."""
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return (
            "the object store refused our credentials",
            "Check their rights, and the clock.",
        )
    if isinstance(error, PreconditionError):
        return "an object was replaced while it was read", "Try again."
    status = STATUS.search(str(error))
    if status is None:
        return "the object store gave no usable answer", "Check the network and the store's address."
    if status[1] == "404":  # of a listing; an object that is not there is another error
        return NO_BUCKET
    return f"the object store answered with status {status[1]}", "Try again; look into the store's own log."
