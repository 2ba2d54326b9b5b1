"""Repositories: their manifests, tags, referrers and blobs, and who pulled them.

A manifest is kept only where all that it names is there. What no manifest names stays for a grace
(`cloud_hub.registry.collection`).
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import delete, exists, func, select
from sqlalchemy.orm import Session

from cloud_hub.blobs.rows import BlobLinkRow
from cloud_hub.blobs.service import Blobs
from cloud_hub.db.engine import Database
from cloud_hub.registry import graph
from cloud_hub.registry.errors import (
    BlobUnknownError,
    ManifestBlobUnknownError,
    ManifestUnknownError,
    RepositoryUnknownError,
)
from cloud_hub.registry.manifests import Parsed, parse
from cloud_hub.registry.rows import ManifestRow, PullRow, TagRow, UnreachedRow
from contract.ids import DIGEST


class Registry:
    """Repositories of all workspaces."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self.blobs = blobs

    def keep_manifest(
        self, session: Session, repository: str, data: bytes, media_type: str, *, tags: Sequence[str] = ()
    ) -> str:
        """Keep a manifest or index whose blobs the repository has, under ``tags`` too; return its digest.

        Doing it again changes nothing but the tags. Raises `ManifestInvalidError` and
        `ManifestBlobUnknownError`.
        """
        parsed = parse(data, media_type)
        missing = sorted(set(parsed.targets) - graph.linked_of(session, repository, parsed.targets))
        if missing:
            raise ManifestBlobUnknownError(
                "the manifest names what the repository does not have",
                where=", ".join(missing[:10]),
                fix="Push blobs first, then manifests, then the index that names them.",
            )
        digest = self.blobs.save_bytes(data)
        self.blobs.link(session, repository, digest, len(data), parsed.media_type)
        if session.get(ManifestRow, (repository, digest)) is None:
            session.add(_row(repository, digest, parsed, len(data)))
        graph.set_targets(session, repository, digest, parsed.targets)
        graph.unmark(session, repository, [digest, *parsed.targets])
        for tag in tags:
            self.set_tag(session, repository, tag, digest)
        return digest

    def set_tag(self, session: Session, repository: str, tag: str, digest: str) -> None:
        """Let a tag stand for a manifest that is there."""
        row = session.get(TagRow, (repository, tag))
        if row is None:
            row = TagRow(repository=repository, tag=tag, digest=digest)
            session.add(row)
        row.digest, row.updated_at = digest, datetime.now(UTC)
        session.flush()

    def forget_tag(self, session: Session, repository: str, tag: str) -> None:
        """Forget a tag; no error where it is not there. What it stood for stays."""
        session.execute(delete(TagRow).where(TagRow.repository == repository, TagRow.tag == tag))

    def forget_image(self, session: Session, repository: str, digest: str) -> None:
        """Forget a manifest or index, its tags, what refers to it, and manifests that nothing else reaches.

        Blobs that no manifest names any more are collected after the grace: somebody who pushes may
        just have been told that they are there. No error where the manifest is not there.
        """
        self.read_all(session, repository)
        waiting = [digest]
        session.execute(delete(TagRow).where(TagRow.repository == repository, TagRow.digest == digest))
        while waiting:
            each = waiting.pop()
            row = session.get(ManifestRow, (repository, each))
            if row is None:
                continue
            targets = graph.targets_of(session, repository, each)
            self._drop(session, row)
            referring = [one.digest for one in graph.referrers_of(session, repository, each)]
            waiting += [one for one in targets + referring if not graph.is_held(session, repository, one)]

    def _drop(self, session: Session, row: ManifestRow) -> None:
        now = datetime.now(UTC)
        for target in graph.targets_of(session, row.repository, row.digest):
            graph.forget_target(session, row.repository, row.digest, target)
            if not graph.is_needed(session, row.repository, target):
                graph.mark(session, row.repository, target, now)
        session.delete(row)
        session.flush()
        self.blobs.unlink(session, row.repository, row.digest)
        graph.unmark(session, row.repository, [row.digest])

    def read_all(self, session: Session, repository: str) -> None:
        """Read manifests of a database from before 0100: what they name is not written down yet."""
        query = select(ManifestRow).where(ManifestRow.repository == repository, ManifestRow.read.is_(False))
        for row in session.scalars(query).all():
            parsed = parse(self.blobs.read_small(row.digest), row.media_type)
            graph.set_targets(session, repository, row.digest, parsed.targets)
            row.artifact_type, row.subject = parsed.artifact_type, parsed.subject
            row.annotations, row.read = parsed.annotations, True
        session.flush()

    def manifest(self, repository: str, reference: str) -> ManifestRow:
        """Return the manifest or index by digest, or by tag; raises `ManifestUnknownError`."""
        with self._database.reading() as session:
            digest: str | None = reference
            if not DIGEST.fullmatch(reference):
                tag = session.get(TagRow, (repository, reference))
                digest = tag.digest if tag is not None else None
            row = session.get(ManifestRow, (repository, digest)) if digest is not None else None
            if row is None:
                raise _no_manifest(repository, reference)
            return row

    def referrers(
        self, session: Session, repository: str, digest: str, artifact_type: str | None = None
    ) -> list[ManifestRow]:
        """Return the manifests whose subject is ``digest``, oldest first; it need not be there itself."""
        found = graph.referrers_of(session, repository, digest)
        return [row for row in found if artifact_type is None or row.artifact_type == artifact_type]

    def referrers_in(self, repository: str, digest: str, artifact_type: str | None) -> list[ManifestRow]:
        """Return `referrers`, in a session of its own."""
        with self._database.reading() as session:
            return self.referrers(session, repository, digest, artifact_type)

    def tags(self, repository: str, *, after: str = "", most: int | None = None) -> list[str]:
        """Return the tags behind ``after`` in their order; raises `RepositoryUnknownError`."""
        query = select(TagRow.tag).where(TagRow.repository == repository)
        with self._database.reading() as session:
            found = list(session.scalars(query))
            here = exists().where(BlobLinkRow.owner == repository)
            if not found and not session.scalar(select(here)):
                raise RepositoryUnknownError("nothing is in the repository", where=repository)
        # Sorted here: databases differ in what they take for an order of texts.
        return sorted(tag for tag in found if tag > after)[:most]

    def blob(self, repository: str, digest: str) -> BlobLinkRow:
        """Return a blob's link; raises `BlobUnknownError`."""
        with self._database.reading() as session:
            link = session.get(BlobLinkRow, (repository, digest))
            waits = session.get(UnreachedRow, (repository, digest)) is not None
        if link is not None and waits:
            link = self._asked_for(repository, digest)
        if link is None:
            raise BlobUnknownError("no such blob in the repository", where=digest, fix="Push it.")
        return link

    def _asked_for(self, repository: str, digest: str) -> BlobLinkRow | None:
        """Begin the grace of a blob that waits for the collector anew: a push may be about to name it."""
        with self._database.transaction() as session:
            link = session.get(BlobLinkRow, (repository, digest))
            if link is not None:
                graph.unmark(session, repository, [digest])
            return link

    def count_pull(self, device: str, repository: str, digest: str, sent_bytes: int) -> None:
        """Remember what left the hub for a device."""
        with self._database.transaction() as session:
            session.add(
                PullRow(
                    device=device,
                    repository=repository,
                    digest=digest,
                    sent_bytes=sent_bytes,
                    at=datetime.now(UTC),
                )
            )

    def pulled(self, device: str, since: datetime | None = None) -> tuple[int, int]:
        """Return (bytes, blobs and manifests) that a device was sent."""
        query = select(func.coalesce(func.sum(PullRow.sent_bytes), 0), func.count()).where(
            PullRow.device == device
        )
        if since is not None:
            query = query.where(PullRow.at >= since)
        with self._database.reading() as session:
            total, count = session.execute(query).one()
        return int(total), int(count)


def _row(repository: str, digest: str, parsed: Parsed, size_bytes: int) -> ManifestRow:
    return ManifestRow(
        repository=repository,
        digest=digest,
        media_type=parsed.media_type,
        artifact_type=parsed.artifact_type,
        subject=parsed.subject,
        annotations=dict(parsed.annotations),
        size_bytes=size_bytes,
        read=True,
        created_at=datetime.now(UTC),
    )


def _no_manifest(repository: str, reference: str) -> ManifestUnknownError:
    mark = "@" if DIGEST.fullmatch(reference) else ":"
    return ManifestUnknownError("no such manifest or tag", where=f"{repository}{mark}{reference}")
