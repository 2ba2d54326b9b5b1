"""Finding images: filters, an order, and pages that stay right while images are registered."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import aliased

from cloud_hub.activities.rows import ActivityLineRow
from cloud_hub.db.engine import Database
from cloud_hub.db.pages import named
from cloud_hub.db.versions import Page, VersionSearch, labelled, page_of
from cloud_hub.images.rows import ContentKind, ImageContentRow, ImageModelRow, ImageRow, ImageTagRow
from cloud_hub.images.service import ImageView, views
from cloud_hub.models.rows import ModelRow


@dataclass(frozen=True, kw_only=True)
class Search(VersionSearch):
    """What images to find.

    ``base`` and ``layer`` (a layer's title) may have ``*`` and ``?`` as names have; ``model`` is
    ``name:version`` or ``name``; ``digest`` is of anything in the image; ``package`` is ``name==version`` or
    ``name``, as the SBOM says it; ``log`` is a text in a line of the build's log.
    """

    model: str | None = None
    platform: str | None = None
    package: str | None = None
    layer: str | None = None
    log: str | None = None
    base: str | None = None
    kind: str | None = None
    min_bytes: int | None = None
    max_bytes: int | None = None


def search(
    database: Database, workspace: str, what: Search, *, limit: int, cursor: str | None
) -> Page[ImageView]:
    """Return a page of a workspace's images; raises `InvalidInputError` for a cursor that is none."""
    with database.reading() as session:
        further = [*_conditions(what), *_contents(what)]
        page = page_of(session, ImageRow, workspace, what, further, limit=limit, cursor=cursor)
        return Page(views(session, page.items), page.next)


def _conditions(what: Search) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if what.base is not None:
        found.append(named(ImageRow.base, what.base))
    if what.kind is not None:
        found.append(ImageRow.kind == what.kind)
    if what.min_bytes is not None:
        found.append(ImageRow.size_bytes >= what.min_bytes)
    if what.max_bytes is not None:
        found.append(ImageRow.size_bytes <= what.max_bytes)
    return found


def _contents(what: Search) -> list[ColumnElement[bool]]:
    found = [_tagged(text) for text in what.tags]
    if what.model is not None:
        found.append(_of_model(what.model))
    if what.platform is not None:
        found.append(_has("platform", ImageContentRow.value == what.platform))
    if what.digest is not None:
        found.append(_has("digest", ImageContentRow.value == what.digest))
    if what.layer is not None:
        found.append(_has("layer", named(ImageContentRow.value, what.layer)))
    if what.package is not None:
        exact = "==" in what.package
        pattern = what.package if exact else f"{what.package}==*"
        found.append(_has("package", named(ImageContentRow.value, pattern)))
    if what.log is not None:
        lines = select(ActivityLineRow.activity).where(
            ActivityLineRow.text.icontains(what.log, autoescape=True)
        )
        found.append(ImageRow.activity.in_(lines))
    return found


def _has(kind: ContentKind, condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return ImageRow.id.in_(select(ImageContentRow.image).where(ImageContentRow.kind == kind, condition))


def _tagged(text: str) -> ColumnElement[bool]:
    tag = aliased(ImageTagRow)
    return ImageRow.id.in_(labelled(tag.image, tag.key, tag.value, text))


def _of_model(text: str) -> ColumnElement[bool]:
    name, colon, version = text.partition(":")
    inside = select(ImageModelRow.image).join(ModelRow, ModelRow.id == ImageModelRow.model)
    inside = inside.where(named(ModelRow.name, name))
    if colon:
        inside = inside.where(ModelRow.version == (int(version) if version.isdecimal() else 0))
    return ImageRow.id.in_(inside)
