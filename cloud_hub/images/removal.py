"""Deleting a version: refused while a deployment uses it; its bytes are marked, and swept later.

A rollout is applied under the lock of its images' rows, and so is an image deleted: one of both comes
first, and no device is told to run what is gone.
"""

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from cloud_hub.audit.actor import Actor
from cloud_hub.audit.service import Audit
from cloud_hub.db.engine import Database
from cloud_hub.errors import ImageInUseError
from cloud_hub.images.registration import hold_name
from cloud_hub.images.rows import ImageContentRow, ImageRow
from cloud_hub.images.service import find_image
from cloud_hub.images.uses import ImageUse, uses_of
from cloud_hub.registry.graph import is_reached
from cloud_hub.registry.names import image_of, repository_of, workspace_of
from cloud_hub.registry.service import Registry
from contract.errors import FieldProblem

NAMED = 5


def delete_image(
    database: Database, registry: Registry, audit: Audit, workspace: str, name: str, version: int, by: Actor
) -> None:
    """Delete a version; its number is not given again. Raises `NotFoundError`, `ImageInUseError`."""
    repository = repository_of(workspace, name)
    with database.transaction() as session:
        # The name first, as who registers does: what another version still needs is decided under it.
        find_image(session, workspace, name, version)
        hold_name(session, workspace, name)
        row = find_image(session, workspace, name, version, locked=True)
        uses = uses_of(session, workspace, [f"{name}:{version}"])
        if uses:
            raise _in_use(f"{name}:{version}", uses)
        digest = row.digest
        session.delete(row)
        session.flush()
        registry.read_all(session, repository)
        if registered(session, repository, digest) or is_reached(session, repository, digest):
            registry.forget_tag(session, repository, str(version))
        else:
            registry.forget_image(session, repository, digest)
        audit.record(session, by, "image.delete", f"{name}:{version}", workspace=workspace)


def in_use(session: Session, repository: str, digest: str) -> list[str]:
    """Return the deployments, by name, that use an image which ``digest`` is anything in."""
    images = registered(session, repository, digest)
    return [use.words for use in uses_of(session, workspace_of(repository), images)]


def registered(session: Session, repository: str, digest: str) -> list[str]:
    """Return the versions (``name:version``) registered that have ``digest`` as anything in them."""
    holds = exists().where(
        ImageContentRow.image == ImageRow.id,
        ImageContentRow.kind == "digest",
        ImageContentRow.value == digest,
    )
    rows = session.execute(
        select(ImageRow.name, ImageRow.version)
        .where(ImageRow.workspace == workspace_of(repository), ImageRow.name == image_of(repository), holds)
        .order_by(ImageRow.version)
    ).all()
    return [f"{name}:{version}" for name, version in rows]


def _in_use(image: str, uses: list[ImageUse]) -> ImageInUseError:
    names = [use.words for use in uses]
    problems = []
    for use in uses:
        field = f"rollouts.{use.rollout}" if use.rollout is not None else f"devices.{use.device}"
        problems.append(FieldProblem(field=field, reason=use.words))
    more = f", and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ImageInUseError(
        f"the image is deployed: {'; '.join(names[:NAMED])}{more}",
        where=image,
        fix="Roll out another image to these devices first, and wait until they run it.",
        errors=tuple(problems),
    )
