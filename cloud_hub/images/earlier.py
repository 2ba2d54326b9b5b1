"""Images of releases that did not keep their platforms: looked into once, when a hub starts."""

import logging

from sqlalchemy import delete, select

from cloud_hub.blobs.service import Blobs
from cloud_hub.db.engine import Database
from cloud_hub.images.platforms import as_document, read_platforms
from cloud_hub.images.registration import contents_of
from cloud_hub.images.rows import ImageContentRow, ImageRow
from contract.errors import HeadlandError

log = logging.getLogger(__name__)


def complete_earlier(database: Database, blobs: Blobs) -> int:
    """Fill in platforms, manifests and diff ids that are only in the images' documents; return how many.

    An image whose documents are not to be had stays as it is, and is tried again with the next start.
    """
    unknown = select(ImageContentRow.image).where(
        ImageContentRow.kind == "platform", ImageContentRow.value == ""
    )
    with database.reading() as session:
        rows = session.scalars(select(ImageRow).where(ImageRow.id.in_(unknown))).all()
    done = 0
    for row in rows:
        try:
            platforms = read_platforms(row.digest, blobs.read_small)
        except (HeadlandError, OSError) as error:
            log.warning(
                "image %s:%s of %s stays without platforms: %s", row.name, row.version, row.workspace, error
            )
            continue
        with database.transaction() as session:
            found = session.get(ImageRow, row.id, with_for_update=True)
            if found is None:
                continue
            found.platforms = as_document(platforms)
            session.execute(delete(ImageContentRow).where(ImageContentRow.image == row.id))
            for content in contents_of(row.digest, platforms):
                content.image = row.id
                session.add(content)
            done += 1
    return done
