"""Collects blobs of repositories that no manifest reaches.

In two steps: what is found unreached is marked, and unlinked when its mark is older than the grace. A
push renews the marks of its repository, a HEAD or a mount the mark of its blob, and a manifest takes
away the marks of what it names; so whoever has been told that a blob is there has the grace to push
the manifest. A repository with an upload that goes on is left alone. Each blob is unlinked in a
transaction of its own, which looks again: a kill at any point leaves marks, or links without them,
and the next round goes on. The bytes go later (`cloud_hub.blobs.sweep`).
"""

import logging
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, delete, exists, select
from sqlalchemy.orm import Session

from cloud_hub.blobs.parts import forget_others
from cloud_hub.blobs.rows import BlobLinkRow
from cloud_hub.db.engine import Database
from cloud_hub.registry import graph
from cloud_hub.registry.pushes import Pushes
from cloud_hub.registry.rows import ManifestRow, PushRow, ReachRow, UnreachedRow
from cloud_hub.registry.service import Registry
from contract.errors import HeadlandError

log = logging.getLogger(__name__)


class Collector:
    """Collects in all repositories; more than one may run at once."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        pushes: Pushes,
        *,
        grace: timedelta,
        keep_uploads: timedelta,
    ) -> None:
        self._database = database
        self._registry = registry
        self._pushes = pushes
        self._grace = grace
        self._keep_uploads = keep_uploads

    def collect(self, now: datetime | None = None) -> int:
        """Do all of it once; return how many blobs were unlinked."""
        moment = now or datetime.now(UTC)
        self.end_uploads(moment)
        self._read_older()
        self.mark(moment)
        return self.unlink(moment)

    def end_uploads(self, now: datetime) -> None:
        """Forget sessions that nobody went on with, and what arrived of sessions that are gone."""
        with self._database.transaction() as session:
            session.execute(delete(PushRow).where(PushRow.updated_at < now - self._keep_uploads))
        found = set(self._pushes.parts.ids())
        with self._database.transaction() as session:
            known = set(session.scalars(select(PushRow.id)).all())
        forget_others(self._pushes.parts, found, known)

    def _read_older(self) -> None:
        query = select(ManifestRow.repository).where(ManifestRow.read.is_(False)).distinct()
        with self._database.reading() as session:
            repositories = session.scalars(query).all()
        for repository in repositories:
            try:
                with self._database.transaction() as session:
                    self._registry.read_all(session, repository)
            except (OSError, HeadlandError):
                log.exception("a manifest of %s cannot be read: nothing of it is collected", repository)

    def mark(self, now: datetime) -> None:
        """Mark what nothing reaches, and is not marked."""
        marked = exists().where(
            UnreachedRow.repository == BlobLinkRow.owner, UnreachedRow.digest == BlobLinkRow.digest
        )
        query = select(BlobLinkRow.owner, BlobLinkRow.digest).where(
            BlobLinkRow.owner.contains("/"), ~BlobLinkRow.owner.contains(":"), ~_needed(), ~marked
        )
        with self._database.reading() as session:
            found = session.execute(query).all()
        for repository, digest in found:
            with self._database.transaction() as session:
                if self._is_waste(session, repository, digest):
                    graph.mark(session, repository, digest, now)

    def unlink(self, now: datetime) -> int:
        """Unlink what has been marked for the grace; return how many."""
        cutoff = now - self._grace
        with self._database.reading() as session:
            old = select(UnreachedRow.repository, UnreachedRow.digest).where(UnreachedRow.since < cutoff)
            found = session.execute(old).all()
        return sum(self._unlink(repository, digest, cutoff) for repository, digest in found)

    def _unlink(self, repository: str, digest: str, cutoff: datetime) -> bool:
        with self._database.transaction() as session:
            mark = session.get(UnreachedRow, (repository, digest))
            if mark is None or mark.since >= cutoff or _is_busy(session, repository, cutoff):
                return False
            waste = self._is_waste(session, repository, digest)
            if waste:
                self._registry.blobs.unlink(session, repository, digest)
            session.delete(mark)
        return waste

    def _is_waste(self, session: Session, repository: str, digest: str) -> bool:
        link = session.get(BlobLinkRow, (repository, digest))
        unread = exists().where(ManifestRow.repository == repository, ManifestRow.read.is_(False))
        return (
            link is not None
            and not session.scalar(select(unread))
            and not graph.is_needed(session, repository, digest)
        )


def _needed() -> ColumnElement[bool]:
    """Return the condition that a link of a repository is of a manifest, or of what one names."""
    manifest = exists().where(
        ManifestRow.repository == BlobLinkRow.owner, ManifestRow.digest == BlobLinkRow.digest
    )
    reached = exists().where(ReachRow.repository == BlobLinkRow.owner, ReachRow.target == BlobLinkRow.digest)
    return manifest | reached


def _is_busy(session: Session, repository: str, since: datetime) -> bool:
    """Does an upload into the repository go on?"""
    going_on = exists().where(PushRow.repository == repository, PushRow.updated_at >= since)
    return bool(session.scalar(select(going_on)))
