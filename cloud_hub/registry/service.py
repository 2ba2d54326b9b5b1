"""What the OCI Distribution API reads: manifests and blobs of a repository, and who pulled them."""

import re
from datetime import UTC, datetime

from sqlalchemy import func, select

from cloud_hub.blobs.rows import BlobLinkRow
from cloud_hub.blobs.service import Blobs
from cloud_hub.db.engine import Database
from cloud_hub.errors import NotFoundError
from cloud_hub.images.rows import ImageRow
from cloud_hub.registry.names import workspace_of
from cloud_hub.registry.rows import PullRow
from contract.ids import DIGEST


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
