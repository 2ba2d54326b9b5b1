"""Finding images: filters, an order, and pages that stay right while images are registered."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import aliased

from cloud_hub.activities.rows import ActivityLineRow
from cloud_hub.db.engine import Database
from cloud_hub.db.pages import Order, behind, cursor_at, named, ordered
from cloud_hub.images.rows import ContentKind, ImageContentRow, ImageModelRow, ImageRow, ImageTagRow
from cloud_hub.images.service import ImageView, views
from cloud_hub.models.rows import ModelRow


@dataclass(frozen=True)
class Search:
    """What to find: all that is said must hold.

    ``name`` and ``base`` may have ``*`` and ``?``; ``tags`` are ``key=value``, or ``key`` for any value;
    ``model`` is ``name:version`` or ``name``; ``digest`` is of anything in the image; ``package`` is
    ``name==version`` or ``name``, as the SBOM says it; ``log`` is a text in a line of the build's log;
    ``layer`` is a layer's title, which may have ``*`` and ``?``; ``latest`` keeps the newest version of
    each name among those that the rest finds.
    """

    name: str | None = None
    tags: Sequence[str] = ()
    model: str | None = None
    platform: str | None = None
    digest: str | None = None
    package: str | None = None
    layer: str | None = None
    log: str | None = None
    base: str | None = None
    kind: str | None = None
    min_bytes: int | None = None
    max_bytes: int | None = None
    created_by: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    latest: bool = False
    order: Order = "name"


@dataclass(frozen=True)
class Page:
    """Some of what was found; ``next`` is the cursor of the page behind it, if there is one."""

    items: list[ImageView]
    next: str | None


def search(database: Database, workspace: str, what: Search, *, limit: int, cursor: str | None) -> Page:
    """Return a page of a workspace's images; raises `InvalidInputError` for a cursor that is none."""
    query = ordered(_select(workspace, what), ImageRow, what.order)
    if cursor is not None:
        query = query.where(behind(ImageRow, cursor, what.order))
    with database.reading() as session:
        rows = list(session.scalars(query.limit(limit + 1)).all())
        items = views(session, rows[:limit])
    return Page(items, cursor_at(rows[limit - 1], what.order) if len(rows) > limit else None)


def _select(workspace: str, what: Search) -> Select[ImageRow]:
    conditions = [ImageRow.workspace == workspace, *_conditions(what), *_contents(what)]
    if not what.latest:
        return select(ImageRow).where(*conditions)
    rank = func.row_number().over(partition_by=ImageRow.name, order_by=ImageRow.version.desc())
    ranked = select(ImageRow.id, rank.label("rank")).where(*conditions).subquery()
    return select(ImageRow).join(ranked, ranked.c.id == ImageRow.id).where(ranked.c.rank == 1)


def _conditions(what: Search) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if what.name is not None:
        found.append(named(ImageRow.name, what.name))
    if what.base is not None:
        found.append(named(ImageRow.base, what.base))
    if what.kind is not None:
        found.append(ImageRow.kind == what.kind)
    if what.min_bytes is not None:
        found.append(ImageRow.size_bytes >= what.min_bytes)
    if what.max_bytes is not None:
        found.append(ImageRow.size_bytes <= what.max_bytes)
    if what.created_by is not None:
        found.append(ImageRow.created_by == what.created_by)
    if what.created_after is not None:
        found.append(ImageRow.created_at > what.created_after)
    if what.created_before is not None:
        found.append(ImageRow.created_at < what.created_before)
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
    key, equals, value = text.partition("=")
    tag = aliased(ImageTagRow)
    held = select(tag.image).where(tag.key == key)
    return ImageRow.id.in_(held.where(tag.value == value) if equals else held)


def _of_model(text: str) -> ColumnElement[bool]:
    name, colon, version = text.partition(":")
    inside = select(ImageModelRow.image).join(ModelRow, ModelRow.id == ImageModelRow.model)
    inside = inside.where(named(ModelRow.name, name))
    if colon:
        inside = inside.where(ModelRow.version == (int(version) if version.isdecimal() else 0))
    return ImageRow.id.in_(inside)
