"""A registry over one store and database that can be killed; `restart` is a new process on the same data."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_hub.blobs.folder import FolderStore
from cloud_hub.blobs.parts import FileParts, Parts
from cloud_hub.blobs.rows import BlobLinkRow
from cloud_hub.blobs.service import OCTETS, Blobs
from cloud_hub.blobs.sweep import Sweeper
from cloud_hub.db.engine import Database
from cloud_hub.registry.changes import Changes, InUse, nothing_deployed
from cloud_hub.registry.collection import Collector
from cloud_hub.registry.pushes import Pushes
from cloud_hub.registry.rows import ManifestRow, ReachRow, UnreachedRow
from cloud_hub.registry.service import Registry
from contract.digests import sha256
from tests.hub.acting import add_workspace, audit
from tests.registry.content import Content

GRACE = timedelta(hours=1)
KEEP = timedelta(days=7)
REPOSITORY = "shop/digits"


class Killed(BaseException):
    """The process ends here."""


class KilledDatabase(Database):
    """A database whose process is killed at its nth transaction: before its commit, or right after it."""

    kill_at = -1
    committed = True
    count = 0

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Kill, or let it pass."""
        self.count += 1
        here = self.count == self.kill_at
        with super().transaction() as session:
            yield session
            if here and not self.committed:
                raise Killed
        if here:
            raise Killed


class KilledStore(FolderStore):
    """A folder store whose process is killed before or after it takes a file in."""

    before = after = False

    def move_file(self, key: str, path: Path) -> None:
        """Kill, or move it."""
        if self.before:
            raise Killed
        super().move_file(key, path)
        if self.after:
            raise Killed


class Stage:
    """The services; ``now`` of the collector is what a test says."""

    def __init__(self, database: Database, folder: Path, parts: Parts | None = None) -> None:
        self.database = database
        self.folder = folder
        self.store = KilledStore(folder / "objects")
        self.parts = parts or FileParts(folder / "parts")
        self.in_use: InUse = nothing_deployed
        self.restart()

    def restart(self, database: Database | None = None) -> None:
        """Forget everything but rows and disk; the services may get another database object."""
        database = database or self.database
        self.store.before = self.store.after = False
        self.blobs = Blobs(database, self.store, self.folder / "work")
        self.registry = Registry(database, self.blobs)
        self.pushes = Pushes(database, self.blobs, self.parts, most_bytes=1 << 30)
        self.changes = Changes(database, self.registry, audit(self.database), self._in_use)
        self.collector = Collector(database, self.registry, self.pushes, grace=GRACE, keep_uploads=KEEP)
        self.sweeper = Sweeper(
            database,
            self.store,
            self.blobs,
            FileParts(self.folder / "others"),
            grace=GRACE,
            keep_uploads=KEEP,
        )

    def _in_use(self, session: Session, repository: str, digest: str) -> list[str]:
        return self.in_use(session, repository, digest)

    def make_workspaces(self) -> None:
        """Make shop and lab."""
        for name in ("shop", "lab"):
            add_workspace(self.database, name)

    def keep(self, content: Content, *tags: str, repository: str = REPOSITORY) -> str:
        """Keep a manifest with its blobs, as a build does."""
        with self.database.transaction() as session:
            for data in content.blobs.values():
                self.blobs.save_bytes(data)
                self.blobs.link(session, repository, sha256(data), len(data), OCTETS)
            return self.registry.keep_manifest(
                session, repository, content.data, content.media_type, tags=tags
            )

    async def push_blob(self, data: bytes, repository: str = REPOSITORY, principal: str = "ana") -> str:
        """Push a blob by a session of its own."""
        key = self.pushes.begin(repository, principal)
        await self.pushes.finish(key, sha256(data), None, body(data))
        return sha256(data)

    def collect(self, *after: timedelta) -> int:
        """Collect at moments from now on; return how many blobs were unlinked."""
        return sum(self.collector.collect(datetime.now(UTC) + each) for each in after)

    def links(self, repository: str = REPOSITORY) -> set[str]:
        """Return the digests that the repository has."""
        with self.database.reading() as session:
            query = select(BlobLinkRow.digest).where(BlobLinkRow.owner == repository)
            return set(session.scalars(query))

    def marked(self) -> set[str]:
        """Return what waits for the collector."""
        with self.database.reading() as session:
            return set(session.scalars(select(UnreachedRow.digest)))

    def broken(self) -> list[str]:
        """Return what manifests name, or are, and is not linked or has no bytes."""
        with self.database.reading() as session:
            manifests = [(row.repository, row.digest) for row in session.scalars(select(ManifestRow))]
            wanted = manifests + [(row.repository, row.target) for row in session.scalars(select(ReachRow))]
            return [
                digest
                for owner, digest in wanted
                if session.get(BlobLinkRow, (owner, digest)) is None or not self.blobs.exists(digest)
            ]


async def body(*chunks: bytes) -> AsyncIterator[bytes]:
    """Yield a request's body."""
    for chunk in chunks:
        yield chunk
