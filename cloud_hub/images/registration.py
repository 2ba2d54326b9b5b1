"""The next version of an image, whoever made it: a build, or a tool that pushed it.

A version is registered under the locks of its models' rows and of its name: a model is deleted before
or finds the image, and no version is given twice, not even after its deletion.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_hub.db.locking import take
from cloud_hub.errors import NotFoundError
from cloud_hub.images.platforms import ImagePlatform, as_document, digests_in
from cloud_hub.images.rows import (
    ContentKind,
    ImageContentRow,
    ImageModelRow,
    ImageNameRow,
    ImageRow,
    ImageTagRow,
)
from cloud_hub.models.rows import ModelRow


@dataclass(frozen=True, kw_only=True)
class NewImage:
    """A version to register.

    ``digest`` is the index's (or a lone manifest's), ``size_bytes`` all that is kept for it, each blob
    once; ``models`` are ids of `ModelRow`, ``packages`` what the SBOM lists as ``name==version``.
    ``activity`` built it, if one did.
    """

    workspace: str
    name: str
    digest: str
    size_bytes: int
    platforms: tuple[ImagePlatform, ...]
    models: tuple[int, ...] = ()
    base: str = ""
    compression: str = "gzip"
    kind: str = "cpu"
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    packages: Sequence[str] = ()
    activity: str | None = None
    created_by: str


def register(session: Session, new: NewImage) -> ImageRow:
    """Make the next version of ``new.name``; of an activity that made one already, return that.

    Call it before blobs are linked: names come before blobs in the order of locks. Raises `NotFoundError`
    where a model has been deleted.
    """
    for model in sorted(set(new.models)):
        if session.get(ModelRow, model, with_for_update=True, populate_existing=True) is None:
            raise NotFoundError(
                "a model of the image was deleted meanwhile",
                where=new.name,
                fix="Build or register an image of another version.",
            )
    name = hold_name(session, new.workspace, new.name)
    if new.activity is not None:
        made = built_by(session, new.activity)
        if made is not None:
            return made
    name.newest += 1
    row = ImageRow(
        workspace=new.workspace,
        name=new.name,
        version=name.newest,
        description=new.description,
        digest=new.digest,
        size_bytes=new.size_bytes,
        platforms=as_document(new.platforms),
        base=new.base,
        compression=new.compression,
        kind=new.kind,
        activity=new.activity,
        created_by=new.created_by,
        created_at=datetime.now(UTC),
        labels=[ImageTagRow(key=key, value=value) for key, value in new.tags.items()],
        inside=[ImageModelRow(model=model) for model in sorted(set(new.models))],
        contents=contents_of(new.digest, new.platforms, new.packages),
    )
    session.add(row)
    session.flush()
    return row


def contents_of(
    digest: str, platforms: Sequence[ImagePlatform], packages: Sequence[str] = ()
) -> list[ImageContentRow]:
    """Return the rows that an image is found by."""
    found: dict[ContentKind, set[str]] = {
        "platform": {one.platform for one in platforms},
        "digest": digests_in(digest, platforms),
        "layer": {layer.title for one in platforms for layer in one.layers},
        "package": set(packages),
    }
    return [
        ImageContentRow(kind=kind, value=value) for kind, values in found.items() for value in sorted(values)
    ]


def built_by(session: Session, activity: str) -> ImageRow | None:
    """Return the image that an activity made, if it has."""
    return session.scalars(select(ImageRow).where(ImageRow.activity == activity)).first()


def hold_name(session: Session, workspace: str, name: str) -> ImageNameRow:
    """Return the name's row, made where it is missing, locked until the transaction ends."""
    new = partial(ImageNameRow, workspace=workspace, name=name, newest=0)
    return take(session, ImageNameRow, (workspace, name), new)
