"""What of a repository is reached from what; each function works in the caller's session."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from cloud_hub.blobs.rows import BlobLinkRow
from cloud_hub.db.locking import take
from cloud_hub.registry.rows import ManifestRow, ReachRow, TagRow, UnreachedRow

AT_ONCE = 500


def linked_of(session: Session, repository: str, digests: Iterable[str]) -> set[str]:
    """Return those of ``digests`` that the repository has."""
    wanted, found = list(digests), set[str]()
    for start in range(0, len(wanted), AT_ONCE):
        some = BlobLinkRow.digest.in_(wanted[start : start + AT_ONCE])
        found |= set(session.scalars(select(BlobLinkRow.digest).where(BlobLinkRow.owner == repository, some)))
    return found


def set_targets(session: Session, repository: str, digest: str, targets: Iterable[str]) -> None:
    """Write down what a manifest names."""
    for target in targets:
        if session.get(ReachRow, (repository, digest, target)) is None:
            session.add(ReachRow(repository=repository, digest=digest, target=target))
    session.flush()


def targets_of(session: Session, repository: str, digest: str) -> list[str]:
    """Return what a manifest names."""
    return list(
        session.scalars(
            select(ReachRow.target)
            .where(ReachRow.repository == repository, ReachRow.digest == digest)
            .order_by(ReachRow.target)
        )
    )


def forget_target(session: Session, repository: str, digest: str, target: str) -> None:
    """Forget that a manifest names it."""
    session.execute(
        delete(ReachRow).where(
            ReachRow.repository == repository, ReachRow.digest == digest, ReachRow.target == target
        )
    )


def is_reached(session: Session, repository: str, digest: str) -> bool:
    """Does a manifest of the repository name it?"""
    found = exists().where(ReachRow.repository == repository, ReachRow.target == digest)
    return bool(session.scalar(select(found)))


def is_held(session: Session, repository: str, digest: str) -> bool:
    """Is it reached, or has it a tag?"""
    tagged = exists().where(TagRow.repository == repository, TagRow.digest == digest)
    return is_reached(session, repository, digest) or bool(session.scalar(select(tagged)))


def is_manifest(session: Session, repository: str, digest: str) -> bool:
    """Is it one of the repository's manifests?"""
    return session.get(ManifestRow, (repository, digest)) is not None


def is_needed(session: Session, repository: str, digest: str) -> bool:
    """Is it a manifest, or does one name it?"""
    return is_manifest(session, repository, digest) or is_reached(session, repository, digest)


def above(session: Session, repository: str, digest: str) -> list[str]:
    """Return the digest and all manifests of the repository that reach it."""
    found, waiting = dict[str, None](), [digest]
    while waiting:
        each = waiting.pop()
        if each not in found:
            found[each] = None
            waiting += session.scalars(
                select(ReachRow.digest).where(ReachRow.repository == repository, ReachRow.target == each)
            )
    return list(found)


def referrers_of(session: Session, repository: str, subject: str) -> list[ManifestRow]:
    """Return the manifests that refer to ``subject``, oldest first."""
    query = select(ManifestRow).where(ManifestRow.repository == repository, ManifestRow.subject == subject)
    return list(session.scalars(query.order_by(ManifestRow.created_at, ManifestRow.digest)))


def mark(session: Session, repository: str, digest: str, now: datetime) -> None:
    """Note that nothing reaches a blob: the collector takes it after its grace."""
    take(
        session,
        UnreachedRow,
        (repository, digest),
        lambda: UnreachedRow(repository=repository, digest=digest, since=now),
    )


def unmark(session: Session, repository: str, digests: Iterable[str]) -> None:
    """Note that a blob is reached again, or was asked for: a grace that comes begins anew."""
    wanted = list(digests)
    for start in range(0, len(wanted), AT_ONCE):
        session.execute(
            delete(UnreachedRow).where(
                UnreachedRow.repository == repository,
                UnreachedRow.digest.in_(wanted[start : start + AT_ONCE]),
            )
        )
