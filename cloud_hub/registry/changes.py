"""What changes a repository on the wire, with its entry in the audit log: manifests, tags, deletions."""

from collections.abc import Callable

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from cloud_hub.audit.actor import Actor
from cloud_hub.audit.service import Audit
from cloud_hub.blobs.rows import BlobLinkRow
from cloud_hub.db.engine import Database
from cloud_hub.images.rows import ImageRow
from cloud_hub.registry import graph
from cloud_hub.registry.errors import (
    BlobKeptError,
    BlobUnknownError,
    DigestInvalidError,
    ImageKeptError,
    ManifestUnknownError,
    NameInvalidError,
)
from cloud_hub.registry.manifests import parse
from cloud_hub.registry.names import TAG, image_of, version_of, workspace_of
from cloud_hub.registry.rows import ManifestRow, TagRow
from cloud_hub.registry.service import Registry
from contract.digests import sha256
from contract.ids import DIGEST

InUse = Callable[[Session, str, str], list[str]]
"""``in_use(session, repository, digest)``: the deployments, by name, that use what the digest is part of."""


def nothing_deployed(_session: Session, _repository: str, _digest: str) -> list[str]:
    """Know of no deployments."""
    return []


class Changes:
    """Changes of all repositories by people and services."""

    def __init__(
        self, database: Database, registry: Registry, audit: Audit, in_use: InUse = nothing_deployed
    ) -> None:
        self._database = database
        self._registry = registry
        self._audit = audit
        self._in_use = in_use

    def push_manifest(
        self, repository: str, reference: str, data: bytes, media_type: str, by: Actor
    ) -> ManifestRow:
        """Keep a manifest under its digest, or under a tag.

        Raises `ManifestInvalidError`, `ManifestBlobUnknownError`, `DigestInvalidError`, `NameInvalidError`,
        and `ImageKeptError` for the tag of a registered version.
        """
        digest, tags = sha256(data), list[str]()
        if ":" in reference:
            if reference != digest:
                raise DigestInvalidError("the manifest does not have that digest", where=reference)
        elif TAG.fullmatch(reference):
            tags = [reference]
        else:
            raise NameInvalidError("this is no tag", where=reference, fix="Use letters, digits, _ . and -.")
        parse(data, media_type)  # before the bytes are kept
        self._registry.blobs.save_bytes(data)
        with self._database.transaction() as session:
            for tag in tags:
                self._refuse_version(session, repository, tag, digest)
            kept = self._registry.keep_manifest(session, repository, data, media_type, tags=tags)
            details = {"digest": kept}
            self._record(session, by, "manifest.push", repository, reference, details)
            return session.get_one(ManifestRow, (repository, kept))

    def delete_reference(self, repository: str, reference: str, by: Actor) -> None:
        """Delete a tag, or by digest a manifest with its tags and what only it reaches.

        Raises `ManifestUnknownError`, and `ImageKeptError` where a deployment, a registered image or an
        index needs it.
        """
        with self._database.transaction() as session:
            if DIGEST.fullmatch(reference):
                self._delete_manifest(session, repository, reference)
                self._record(session, by, "manifest.delete", repository, reference)
                return
            tag = session.get(TagRow, (repository, reference))
            if tag is None:
                raise ManifestUnknownError("no such tag", where=f"{repository}:{reference}")
            self._refuse_version(session, repository, reference)
            details = {"digest": tag.digest}
            session.delete(tag)
            self._record(session, by, "tag.delete", repository, reference, details)

    def delete_blob(self, repository: str, digest: str, by: Actor) -> None:
        """Delete a blob that no manifest names; raises `BlobUnknownError`, `BlobKeptError`."""
        with self._database.transaction() as session:
            self._registry.read_all(session, repository)
            if session.get(BlobLinkRow, (repository, digest)) is None:
                raise BlobUnknownError("no such blob in the repository", where=digest)
            if graph.is_needed(session, repository, digest):
                raise BlobKeptError(
                    "a manifest of the repository names the blob, or is it",
                    where=f"{repository}@{digest}",
                    fix="Delete the manifest; its blobs go by themselves.",
                )
            self._registry.blobs.unlink(session, repository, digest)
            graph.unmark(session, repository, [digest])
            self._record(session, by, "blob.delete", repository, digest)

    def _delete_manifest(self, session: Session, repository: str, digest: str) -> None:
        self._registry.read_all(session, repository)
        where = f"{repository}@{digest}"
        if not graph.is_manifest(session, repository, digest):
            raise ManifestUnknownError("no such manifest", where=where)
        deployments = self._in_use(session, repository, digest)
        if deployments:
            raise ImageKeptError(
                f"deployments use the image: {', '.join(deployments)}",
                where=where,
                fix="Roll out another image to their devices first.",
            )
        registered = _registered(session, repository, graph.above(session, repository, digest))
        if registered:
            raise ImageKeptError(
                f"the manifest is of a registered image: {', '.join(registered)}",
                where=where,
                fix="Delete the image in the registry of images.",
            )
        if graph.is_reached(session, repository, digest):
            raise ImageKeptError("an index names the manifest", where=where, fix="Delete the index.")
        self._registry.forget_image(session, repository, digest)

    def _refuse_version(self, session: Session, repository: str, tag: str, digest: str = "") -> None:
        """Refuse to move or delete the tag of a registered version; the digest that it has may be pushed."""
        version = version_of(tag)
        if version is None:
            return
        found = session.scalar(_images(repository).where(ImageRow.version == version))
        if found is not None and found.digest != digest:
            raise ImageKeptError(
                "the tag is the version of a registered image",
                where=f"{repository}:{tag}",
                fix="Choose another tag, one that is no number.",
            )

    def _record(
        self,
        session: Session,
        by: Actor,
        action: str,
        repository: str,
        reference: str,
        details: dict[str, str] | None = None,
    ) -> None:
        mark = "@" if DIGEST.fullmatch(reference) else ":"
        self._audit.record(
            session,
            by,
            action,
            f"{repository}{mark}{reference}",
            workspace=workspace_of(repository),
            details=details,
        )


def _images(repository: str) -> Select[ImageRow]:
    return select(ImageRow).where(
        ImageRow.workspace == workspace_of(repository), ImageRow.name == image_of(repository)
    )


def _registered(session: Session, repository: str, digests: list[str]) -> list[str]:
    rows = session.scalars(_images(repository).where(ImageRow.digest.in_(digests)).order_by(ImageRow.version))
    return [f"{row.name}:{row.version}" for row in rows]
