"""Finding models: filters, an order, and pages that stay right while models are registered."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import aliased

from cloud_hub.db.engine import Database
from cloud_hub.db.versions import Page, VersionSearch, labelled, page_of
from cloud_hub.experiments.rows import RunRow
from cloud_hub.models.rows import LabelKind, ModelFileRow, ModelLabelRow, ModelRow


@dataclass(frozen=True, kw_only=True)
class Search(VersionSearch):
    """What models to find; ``properties`` are said as tags are, ``digest`` is of a model or a file."""

    properties: Sequence[str] = ()
    framework: str | None = None
    run: str | None = None
    experiment: str | None = None


def search(
    database: Database, workspace: str, what: Search, *, limit: int, cursor: str | None
) -> Page[ModelRow]:
    """Return a page of a workspace's models; raises `InvalidInputError` for a cursor that is none."""
    with database.reading() as session:
        return page_of(session, ModelRow, workspace, what, _conditions(what), limit=limit, cursor=cursor)


def _conditions(what: Search) -> list[ColumnElement[bool]]:
    found = [_labelled("tag", text) for text in what.tags]
    found += [_labelled("property", text) for text in what.properties]
    if what.framework is not None:
        found.append(ModelRow.framework == what.framework)
    if what.run is not None:
        found.append(ModelRow.run == what.run)
    if what.experiment is not None:
        runs = select(RunRow.id).where(
            RunRow.workspace == ModelRow.workspace, RunRow.experiment == what.experiment
        )
        found.append(ModelRow.run.in_(runs))
    if what.digest is not None:
        holding = select(ModelFileRow.model).where(ModelFileRow.digest == what.digest)
        found.append(or_(ModelRow.digest == what.digest, ModelRow.id.in_(holding)))
    return found


def _labelled(kind: LabelKind, text: str) -> ColumnElement[bool]:
    label = aliased(ModelLabelRow)
    return ModelRow.id.in_(labelled(label.model, label.key, label.value, text).where(label.kind == kind))
