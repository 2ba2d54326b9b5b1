"""Deleting a version: refused while an image holds it; its bytes are marked, and swept later.

An image is registered under the lock of its model's row, and so is a model deleted: one of both wins,
and an image is never without its model. The foreign key says the same to the database.
"""

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from cloud_hub.audit.actor import Actor
from cloud_hub.audit.service import Audit
from cloud_hub.blobs.owners import models_of, uploads_of
from cloud_hub.blobs.service import Blobs
from cloud_hub.db.engine import Database
from cloud_hub.errors import ModelInUseError
from cloud_hub.images.rows import ImageModelRow, ImageRow
from cloud_hub.models.rows import ModelFileRow, ModelRow
from cloud_hub.models.service import no_such_model
from contract.errors import FieldProblem


def delete_model(
    database: Database, blobs: Blobs, audit: Audit, workspace: str, name: str, version: int, by: Actor
) -> None:
    """Delete a version; its number is not given again. Raises `NotFoundError`, `ModelInUseError`."""
    query = select(ModelRow).where(
        ModelRow.workspace == workspace, ModelRow.name == name, ModelRow.version == version
    )
    with database.transaction() as session:
        row = session.scalars(query.with_for_update()).first()
        if row is None:
            raise no_such_model(name, version)
        _require_unused(session, row)
        digests = sorted({file.digest for file in row.files})
        session.delete(row)
        session.flush()
        for digest in digests:
            # Locked before it is looked at: a registration of the same bytes is seen, or comes after.
            blobs.hold(session, digest)
            if not _held(session, workspace, digest):
                blobs.unlink(session, models_of(workspace), digest)
                blobs.unlink(session, uploads_of(workspace), digest)
        audit.record(session, by, "model.delete", f"{name}:{version}", workspace=workspace)


def _require_unused(session: Session, row: ModelRow) -> None:
    images = session.execute(
        select(ImageRow.name, ImageRow.version)
        .join(ImageModelRow, ImageModelRow.image == ImageRow.id)
        .where(ImageModelRow.model == row.id)
        .order_by(ImageRow.name, ImageRow.version)
    ).all()
    if images:
        names = [f"{name}:{version}" for name, version in images]
        raise ModelInUseError(
            f"the model is in {len(names)} image{'s' if len(names) > 1 else ''}: {', '.join(names[:5])}"
            + (", ..." if len(names) > 5 else ""),
            where=f"{row.name}:{row.version}",
            fix="It can be deleted when no image holds it: delete those images first.",
            errors=tuple(FieldProblem(field=f"images.{one}", reason="holds this model") for one in names),
        )


def _held(session: Session, workspace: str, digest: str) -> bool:
    """Does another model of the workspace have the file?"""
    others = select(ModelFileRow.model).join(ModelRow, ModelRow.id == ModelFileRow.model)
    condition = (ModelRow.workspace == workspace) & (ModelFileRow.digest == digest)
    return bool(session.scalar(select(exists(others.where(condition)))))
