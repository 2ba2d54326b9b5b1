"""The durable state of uploads: one row for each person, workspace and digest."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from cloud_hub.blobs.rows import UploadRow
from cloud_hub.errors import ConflictError, NotFoundError, UploadOffsetError

MOST_AT_ONCE = 64


@dataclass(frozen=True)
class UploadKey:
    """Whose upload of what: nobody else can write into it."""

    workspace: str
    principal: str
    digest: str


@dataclass(frozen=True)
class UploadState:
    """How far an upload is; ``complete``: the workspace has the file."""

    digest: str
    offset_bytes: int
    size_bytes: int
    complete: bool


def find(session: Session, key: UploadKey) -> UploadRow | None:
    """Return the row of an upload that is not finished."""
    return session.scalars(
        select(UploadRow).where(
            UploadRow.workspace == key.workspace,
            UploadRow.principal == key.principal,
            UploadRow.digest == key.digest,
        )
    ).first()


def make(session: Session, key: UploadKey, size_bytes: int) -> UploadRow:
    """Begin an upload; raises `ConflictError` where somebody has too many unfinished ones."""
    begun = session.scalar(
        select(func.count())
        .select_from(UploadRow)
        .where(UploadRow.workspace == key.workspace, UploadRow.principal == key.principal)
    )
    if (begun or 0) >= MOST_AT_ONCE:
        raise ConflictError(
            f"you have {MOST_AT_ONCE} unfinished uploads in this workspace",
            where=key.workspace,
            fix="Finish them, or wait until they are swept.",
        )
    now = datetime.now(UTC)
    row = UploadRow(
        id=uuid.uuid4().hex,
        workspace=key.workspace,
        principal=key.principal,
        digest=key.digest,
        size_bytes=size_bytes,
        offset_bytes=0,
        verified_at=None,
        created_at=now,
        updated_at=now,
    )
    session.add(row)
    session.flush()
    return row


def advance(session: Session, upload: str, old: int, new: int) -> None:
    """Move the durable offset.

    Raises `UploadOffsetError` where somebody else, such as another hub, moved it, and `NotFoundError` where
    the upload was swept.
    """
    done = session.execute(
        update(UploadRow)
        .where(UploadRow.id == upload, UploadRow.offset_bytes == old)
        .values(offset_bytes=new, updated_at=datetime.now(UTC), verified_at=None)
        .returning(UploadRow.id)
    )
    if done.first() is None:
        if session.get(UploadRow, upload) is not None:
            raise UploadOffsetError("the upload moved on", fix="Ask where it stands, and go on from there.")
        raise NotFoundError("the upload is not there any more", fix="Begin it again.")
