"""Blobs by digest: stored once, seen only by the owners they are linked to."""

import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile

from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from cloud_hub.blobs.port import ObjectStore
from cloud_hub.blobs.rows import BlobLinkRow
from cloud_hub.db.engine import Database
from cloud_hub.errors import InvalidInputError, NotFoundError, TooLargeError
from contract.digests import hex_of, sha256

CHUNK_BYTES = 1 << 20
OCTETS = "application/octet-stream"


def uploads_of(workspace: str) -> str:
    """Return the owner of what people upload into a workspace."""
    return f"uploads/{workspace}"


class Blobs:
    """Content-addressed bytes over an object store."""

    def __init__(self, database: Database, store: ObjectStore, work_dir: Path) -> None:
        self._database = database
        self._store = store
        self._work_dir = work_dir
        work_dir.mkdir(parents=True, exist_ok=True)

    async def upload(self, owner: str, digest: str, body: AsyncIterator[bytes], most_bytes: int) -> int:
        """Take a body in, check it against ``digest``, keep it for ``owner``; return its bytes."""
        key = _key(digest)
        digester, size = hashlib.sha256(), 0
        with NamedTemporaryFile(dir=self._work_dir) as file:
            async for chunk in body:
                size += len(chunk)
                if size > most_bytes:
                    raise TooLargeError(
                        f"a file may have {most_bytes} bytes",
                        fix="Raise max_model_bytes in the hub's settings.",
                    )
                digester.update(chunk)
                await run_in_threadpool(file.write, chunk)
            if f"sha256:{digester.hexdigest()}" != digest:
                raise InvalidInputError(
                    "the bytes that arrived do not have that digest",
                    where=digest,
                    fix="Upload the file again.",
                )
            file.flush()
            await run_in_threadpool(self._store.put_file, key, Path(file.name))
        await run_in_threadpool(self._link_upload, owner, digest, size)
        return size

    def _link_upload(self, owner: str, digest: str, size_bytes: int) -> None:
        with self._database.transaction() as session:
            self.link(session, owner, digest, size_bytes, OCTETS)

    def save_bytes(self, data: bytes) -> str:
        """Keep small bytes; return their digest. Link them before anyone can read them."""
        digest = sha256(data)
        self._store.put_bytes(_key(digest), data)
        return digest

    def save_file(self, digest: str, path: Path) -> None:
        """Keep a file whose digest is known to be right."""
        if not self._store.exists(_key(digest)):
            self._store.put_file(_key(digest), path)

    def exists(self, digest: str) -> bool:
        """Are the bytes here, whoever may see them?"""
        return self._store.exists(_key(digest))

    def link(self, session: Session, owner: str, digest: str, size_bytes: int, media_type: str) -> None:
        """Let ``owner`` see a blob."""
        session.merge(BlobLinkRow(owner=owner, digest=digest, size_bytes=size_bytes, media_type=media_type))

    def find(self, session: Session, owner: str, digest: str) -> BlobLinkRow:
        """Return the owner's link; raises `NotFoundError`."""
        link = session.get(BlobLinkRow, (owner, digest))
        if link is None:
            raise NotFoundError("no such blob here", where=digest)
        return link

    def read(self, digest: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield the bytes of a blob in chunks."""
        left = length if length is not None else self._store.size(_key(digest)) - offset
        with self._store.open(_key(digest), offset) as file:
            while left > 0 and (chunk := file.read(min(CHUNK_BYTES, left))):
                left -= len(chunk)
                yield chunk

    def read_small(self, digest: str) -> bytes:
        """Return all bytes of a manifest or another small blob."""
        return b"".join(self.read(digest))

    def copy_to(self, digest: str, path: Path) -> None:
        """Write a blob into a local file."""
        with path.open("wb") as file:
            for chunk in self.read(digest):
                file.write(chunk)


def _key(digest: str) -> str:
    name = hex_of(digest)
    return f"blobs/sha256/{name[:2]}/{name}"
