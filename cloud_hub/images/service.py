"""The image registry."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select

from cloud_hub.db.engine import Database
from cloud_hub.errors import NotFoundError
from cloud_hub.images.rows import ImageRow
from cloud_hub.models.rows import ModelRow
from cloud_hub.registry.names import repository_of


@dataclass(frozen=True)
class ImageView:
    """An image with the names of its repository and its model."""

    name: str
    version: int
    repository: str
    digest: str
    size_bytes: int
    layers: list[dict[str, Any]]
    model: str
    created_by: str
    created_at: datetime


class Images:
    """Images of all workspaces."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, workspace: str, name: str, version: int | None) -> ImageView:
        """Return a version, or the newest; raises `NotFoundError`."""
        query = _select().where(ImageRow.workspace == workspace, ImageRow.name == name)
        if version is not None:
            query = query.where(ImageRow.version == version)
        with self._database.reading() as session:
            found = session.execute(query.order_by(ImageRow.version.desc()).limit(1)).first()
        if found is None:
            raise NotFoundError(
                "no such image in this workspace",
                where=name if version is None else f"{name}:{version}",
                fix="`headland image list` shows what is registered.",
            )
        return _view(found[0], found[1])

    def all_in(self, workspace: str) -> list[ImageView]:
        """Return all versions by name."""
        query = _select().where(ImageRow.workspace == workspace)
        with self._database.reading() as session:
            rows = session.execute(query.order_by(ImageRow.name, ImageRow.version)).all()
        return [_view(row[0], row[1]) for row in rows]


def _select() -> Select[ImageRow, ModelRow]:
    return select(ImageRow, ModelRow).join(ModelRow, ModelRow.id == ImageRow.model)


def _view(image: ImageRow, model: ModelRow) -> ImageView:
    return ImageView(
        name=image.name,
        version=image.version,
        repository=repository_of(image.workspace, image.name),
        digest=image.digest,
        size_bytes=image.size_bytes,
        layers=image.layers,
        model=f"{model.name}:{model.version}",
        created_by=image.created_by,
        created_at=image.created_at,
    )
