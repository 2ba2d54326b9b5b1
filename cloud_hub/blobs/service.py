"""Blobs by digest: stored once, seen only by the owners they are linked to.

Bytes that nobody links are marked, and deleted after a grace (`cloud_hub.blobs.sweep`). A link is made
and bytes are deleted under the lock of the blob's row, so a link always has its bytes.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from cloud_hub.blobs.owners import all_of
from cloud_hub.blobs.port import LocalStore, ObjectStore
from cloud_hub.blobs.rows import BlobLinkRow, BlobRow
from cloud_hub.db.engine import Database
from cloud_hub.db.locking import take
from cloud_hub.errors import BlobGoneError, NotFoundError
from contract.digests import hex_of, sha256

CHUNK_BYTES = 1 << 20
OCTETS = "application/octet-stream"


class Outside(Protocol):
    """Bytes that other registries keep for repositories."""

    def read(self, place: str, digest: str, size_bytes: int, offset: int, length: int) -> Iterator[bytes]:
        """Yield a part of a blob; raises `HubError` at once where it cannot be had."""
        ...


class Blobs:
    """Content-addressed bytes over an object store, or where their links say outside."""

    def __init__(
        self, database: Database, store: ObjectStore, work_dir: Path, outside: Outside | None = None
    ) -> None:
        self._database = database
        self._outside = outside
        self._store = store
        self._work_dir = work_dir
        work_dir.mkdir(parents=True, exist_ok=True)

    def save_bytes(self, data: bytes) -> str:
        """Keep small bytes; return their digest. Link them before anyone can read them."""
        digest = sha256(data)
        self._store.put_bytes(key_of(digest), data)
        return digest

    def save_file(self, digest: str, path: Path) -> None:
        """Keep a file whose digest is known to be right."""
        if not self._store.exists(key_of(digest)):
            self._store.put_file(key_of(digest), path)

    def adopt(
        self, digest: str, path: Path | None, owner: str, size_bytes: int, also: Callable[[Session], None]
    ) -> None:
        """Take a durable local file in whose digest is right, and link it, with ``also`` in one transaction.

        The file is gone after; None: it was gone before. Raises `BlobGoneError` where it is not in the store.
        """
        moves = isinstance(self._store, LocalStore)
        if path is not None and not moves and path.exists():
            self._store.put_file(key_of(digest), path)
        with self._database.transaction() as session:
            self.hold(session, digest)
            if path is not None and isinstance(self._store, LocalStore) and path.exists():
                self._store.move_file(key_of(digest), path)
            self.link(session, owner, digest, size_bytes, OCTETS)
            also(session)
        if path is not None:
            path.unlink(missing_ok=True)

    def exists(self, digest: str) -> bool:
        """Are the bytes here, whoever may see them?"""
        return self._store.exists(key_of(digest))

    def link(self, session: Session, owner: str, digest: str, size_bytes: int, media_type: str) -> None:
        """Let ``owner`` see a blob; raises `BlobGoneError` where its bytes are not in the store."""
        row = self.hold(session, digest)
        known = session.get(BlobLinkRow, (owner, digest))
        if known is not None and known.place is not None:
            return
        place = None
        if not self._store.exists(key_of(digest)):
            place = _place_in(session, owner, digest)
            if place is None:
                raise BlobGoneError(
                    "the bytes are no longer on the hub", where=digest, fix="Upload the file again."
                )
        else:
            row.unlinked_at = None
        if known is None:
            session.add(
                BlobLinkRow(
                    owner=owner,
                    digest=digest,
                    size_bytes=size_bytes,
                    media_type=media_type,
                    place=place,
                    created_at=datetime.now(UTC),
                )
            )

    def move_out(self, session: Session, owner: str, digest: str, place: str) -> None:
        """Let a link say that its bytes are at ``place``, where they are by now; those here may go."""
        row = self.hold(session, digest)
        link = session.get(BlobLinkRow, (owner, digest))
        if link is not None:
            link.place = place
            session.flush()
        if not linked(session, digest):
            row.unlinked_at = row.unlinked_at or datetime.now(UTC)

    def unlink(self, session: Session, owner: str, digest: str) -> None:
        """End a link; bytes that nobody links any more are marked for deletion."""
        row = self.hold(session, digest)
        link = session.get(BlobLinkRow, (owner, digest))
        if link is not None:
            session.delete(link)
            session.flush()
        if not linked(session, digest):
            row.unlinked_at = datetime.now(UTC)

    def find(self, session: Session, owner: str, digest: str) -> BlobLinkRow:
        """Return the owner's link; raises `NotFoundError`."""
        link = session.get(BlobLinkRow, (owner, digest))
        if link is None:
            raise NotFoundError("no such blob here", where=digest)
        return link

    def find_in(self, session: Session, workspace: str, digest: str) -> BlobLinkRow:
        """Return a link that people of the workspace have; raises `NotFoundError`.

        What only other workspaces have is not there, whatever the store holds.
        """
        query = select(BlobLinkRow).where(
            BlobLinkRow.owner.in_(all_of(workspace)), BlobLinkRow.digest == digest
        )
        link = session.scalars(query.limit(1)).first()
        if link is None:
            raise NotFoundError("no such blob here", where=digest, fix="Upload the file first.")
        return link

    def read(
        self, digest: str, offset: int = 0, length: int | None = None, *, owner: str = ""
    ) -> Iterator[bytes]:
        """Yield the bytes of a blob in chunks; from outside where they are no longer here.

        ``owner``: whose link counts of several that are outside, else any.
        """
        link = self._link_outside(digest, owner) if self._outside is not None else None
        if link is None or link.place is None or self._outside is None or self.exists(digest):
            return self._read_here(digest, offset, length)
        wanted = length if length is not None else link.size_bytes - offset
        return self._outside.read(link.place, digest, link.size_bytes, offset, wanted)

    def _link_outside(self, digest: str, owner: str) -> BlobLinkRow | None:
        query = select(BlobLinkRow).where(BlobLinkRow.digest == digest, BlobLinkRow.place.is_not(None))
        with self._database.reading() as session:
            found = session.scalars(query.order_by(BlobLinkRow.owner).limit(1000)).all()
        return next((one for one in found if one.owner == owner), found[0] if found else None)

    def _read_here(self, digest: str, offset: int, length: int | None) -> Iterator[bytes]:
        left = length if length is not None else self._store.size(key_of(digest)) - offset
        with self._store.open(key_of(digest), offset) as file:
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

    @contextmanager
    def as_folder(self, files: Iterable[tuple[str, str]]) -> Iterator[Path]:
        """Yield a local folder with blobs (path, digest) as files, to be read only; gone after the block.

        Of a store on this machine the files are links to its own, so nothing is copied.
        Paths must have been checked by the caller.
        """
        with TemporaryDirectory(dir=self._work_dir) as name:
            folder = Path(name)
            for path, digest in files:
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                if isinstance(self._store, LocalStore):
                    try:
                        target.hardlink_to(self._store.path(key_of(digest)))
                        continue
                    except OSError:  # another disk, or a file system without hard links
                        target.unlink(missing_ok=True)
                self.copy_to(digest, target)
            yield folder

    def hold(self, session: Session, digest: str) -> BlobRow:
        """Return the blob's row, locked until the transaction ends."""
        return take(session, BlobRow, digest, lambda: BlobRow(digest=digest, unlinked_at=datetime.now(UTC)))


def linked(session: Session, digest: str) -> bool:
    """Does anybody link the bytes that are here?"""
    here = exists().where(BlobLinkRow.digest == digest, BlobLinkRow.place.is_(None))
    return bool(session.scalar(select(here)))


def _place_in(session: Session, owner: str, digest: str) -> str | None:
    """Return where another repository of the same workspace has the blob outside."""
    workspace, slash, _ = owner.partition("/")
    query = select(BlobLinkRow.place).where(
        BlobLinkRow.owner.startswith(f"{workspace}/", autoescape=True),
        BlobLinkRow.digest == digest,
        BlobLinkRow.place.is_not(None),
    )
    return session.scalars(query.limit(1)).first() if slash else None


def key_of(digest: str) -> str:
    """Return the key of a blob in the object store."""
    name = hex_of(digest)
    return f"blobs/sha256/{name[:2]}/{name}"
