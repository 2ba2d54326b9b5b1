"""What the OCI Distribution API reads: manifests and blobs of a repository, and who pulled them."""

import re
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cloud_hub.blobs.rows import BlobLinkRow
from cloud_hub.blobs.service import Blobs
from cloud_hub.db.engine import Database
from cloud_hub.errors import NotFoundError
from cloud_hub.images.rows import ImageContentRow, ImageRow
from cloud_hub.registry.names import image_of, workspace_of
from cloud_hub.registry.rows import PullRow
from contract import oci
from contract.ids import DIGEST


class _Named(msgspec.Struct, frozen=True):
    manifests: tuple[oci.Descriptor, ...] = ()
    layers: tuple[oci.Descriptor, ...] = ()
    config: oci.Descriptor | None = None


class Registry:
    """Repositories of all workspaces."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self.blobs = blobs

    def manifest(self, repository: str, reference: str) -> BlobLinkRow:
        """Return the manifest or index by digest, or by tag (an image's version)."""
        with self._database.reading() as session:
            digest = reference
            if not DIGEST.fullmatch(reference):
                # Tags are versions: whole numbers of at most nine digits.
                image = repository.partition("/")[2]
                query = select(ImageRow.digest).where(
                    ImageRow.workspace == workspace_of(repository), ImageRow.name == image
                )
                version = int(reference) if re.fullmatch(r"[0-9]{1,9}", reference) else -1
                found = session.scalar(query.where(ImageRow.version == version))
                if found is None:
                    raise NotFoundError("no such tag", where=f"{repository}:{reference}")
                digest = found
            return self.blobs.find(session, repository, digest)

    def blob(self, repository: str, digest: str) -> BlobLinkRow:
        """Return a blob's link; raises `NotFoundError`."""
        with self._database.reading() as session:
            return self.blobs.find(session, repository, digest)

    def forget_image(self, session: Session, repository: str, digest: str) -> None:
        """End the links to an image's documents and layers that no registered image of the repository has."""
        waiting, gone = [digest], set()
        while waiting:
            one = waiting.pop()
            link = session.get(BlobLinkRow, (repository, one))
            if one in gone or link is None or self._kept(session, repository, one):
                continue
            gone.add(one)
            if link.media_type in {oci.INDEX, oci.MANIFEST}:
                document = msgspec.json.decode(self.blobs.read_small(one), type=_Named)
                waiting += [each.digest for each in (*document.manifests, *document.layers)]
                waiting += [document.config.digest] if document.config is not None else []
        for one in sorted(gone):
            self.blobs.unlink(session, repository, one)

    def set_tag(self, session: Session, repository: str, tag: str, digest: str) -> None:
        """Let a tag stand for a manifest; an image's version is one as long as its row is there."""

    def forget_tag(self, session: Session, repository: str, tag: str) -> None:
        """Forget a tag; an image's version is one as long as its row is there."""

    def referrers(
        self, session: Session, repository: str, digest: str, artifact_type: str | None = None
    ) -> list[Any]:
        """Return the manifests whose subject is ``digest``."""
        return []

    def _kept(self, session: Session, repository: str, digest: str) -> bool:
        holds = (
            select(ImageContentRow.image)
            .join(ImageRow, ImageRow.id == ImageContentRow.image)
            .where(
                ImageRow.workspace == workspace_of(repository),
                ImageRow.name == image_of(repository),
                ImageContentRow.value == digest,
            )
        )
        return session.scalars(holds.limit(1)).first() is not None

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
