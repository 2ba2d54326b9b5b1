"""The image registry: the same name again is the next version; what a version is never changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_hub.audit.actor import Actor
from cloud_hub.audit.service import Audit
from cloud_hub.db.engine import Database
from cloud_hub.errors import NotFoundError
from cloud_hub.images.platforms import ImageLayer, ImagePlatform, from_document
from cloud_hub.images.rows import ImageContentRow, ImageModelRow, ImageRow, ImageTagRow
from cloud_hub.images.uses import ImageUse, uses_of
from cloud_hub.models.labels import changed, rows_for
from cloud_hub.models.rows import ModelRow
from cloud_hub.registry.names import repository_of


@dataclass(frozen=True)
class ImageView:
    """An image with the names of its repository and its models.

    ``model`` and ``layers`` are those of the first model and platform, for readers of one of each.
    """

    name: str
    version: int
    description: str
    tags: dict[str, str]
    repository: str
    digest: str
    size_bytes: int
    base: str
    compression: str
    kind: str
    platforms: tuple[ImagePlatform, ...]
    models: list[str]
    activity: str | None
    created_by: str
    created_at: datetime

    @property
    def model(self) -> str:
        """Return the first model, or an empty text."""
        return self.models[0] if self.models else ""

    @property
    def layers(self) -> tuple[ImageLayer, ...]:
        """Return the layers of the first platform."""
        return self.platforms[0].layers if self.platforms else ()


class Images:
    """Images of all workspaces."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit

    def get(self, workspace: str, name: str, version: int | None) -> ImageView:
        """Return a version, or the newest that is there; raises `NotFoundError`."""
        with self._database.reading() as session:
            return views(session, [find_image(session, workspace, name, version)])[0]

    def uses(self, workspace: str, name: str, version: int | None) -> list[ImageUse]:
        """Return the deployments that use a version, or the newest; raises `NotFoundError`."""
        with self._database.reading() as session:
            row = find_image(session, workspace, name, version)
            return uses_of(session, workspace, [f"{name}:{row.version}"])

    def packages(self, workspace: str, name: str, version: int | None) -> list[str]:
        """Return the packages of a version's SBOMs as ``name==version``; raises `NotFoundError`."""
        with self._database.reading() as session:
            row = find_image(session, workspace, name, version)
            query = select(ImageContentRow.value).where(
                ImageContentRow.image == row.id, ImageContentRow.kind == "package"
            )
            return sorted(session.scalars(query))

    def change(
        self,
        workspace: str,
        name: str,
        version: int | None,
        by: Actor,
        *,
        description: str | None = None,
        tags: Mapping[str, str | None] | None = None,
    ) -> ImageView:
        """Change the description and tags; a tag set to None is taken away."""
        with self._database.transaction() as session:
            row = find_image(session, workspace, name, version, locked=True)
            row.labels = rows_for(changed(row, description, tags), row.labels, ImageTagRow)
            self._audit.record(session, by, "image.change", f"{name}:{row.version}", workspace=workspace)
            return views(session, [row])[0]


def find_image(
    session: Session, workspace: str, name: str, version: int | None, *, locked: bool = False
) -> ImageRow:
    """Return a version, or the newest, within a transaction; raises `NotFoundError`."""
    query = select(ImageRow).where(ImageRow.workspace == workspace, ImageRow.name == name)
    if version is not None:
        query = query.where(ImageRow.version == version)
    query = query.order_by(ImageRow.version.desc()).limit(1)
    row = session.scalars(query.with_for_update() if locked else query).first()
    if row is None:
        raise NotFoundError(
            "no such image in this workspace",
            where=name if version is None else f"{name}:{version}",
            fix="`headland image list` shows what is registered.",
        )
    return row


def views(session: Session, rows: Sequence[ImageRow]) -> list[ImageView]:
    """Return images with the names of their models."""
    names: dict[int, list[str]] = {}
    found = session.execute(
        select(ImageModelRow.image, ModelRow.name, ModelRow.version)
        .join(ModelRow, ModelRow.id == ImageModelRow.model)
        .where(ImageModelRow.image.in_([row.id for row in rows]))
        .order_by(ModelRow.name, ModelRow.version)
    ).all()
    for image, name, version in found:
        names.setdefault(image, []).append(f"{name}:{version}")
    return [_view(row, names.get(row.id, [])) for row in rows]


def _view(row: ImageRow, models: list[str]) -> ImageView:
    return ImageView(
        name=row.name,
        version=row.version,
        description=row.description,
        tags=row.tags,
        repository=repository_of(row.workspace, row.name),
        digest=row.digest,
        size_bytes=row.size_bytes,
        base=row.base,
        compression=row.compression,
        kind=row.kind,
        platforms=from_document(row.platforms),
        models=models,
        activity=row.activity,
        created_by=row.created_by,
        created_at=row.created_at,
    )
