"""The durable state of upload sessions: each of one person and repository."""

import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from cloud_hub.errors import ConflictError
from cloud_hub.registry.errors import PushUnknownError, RangeInvalidError
from cloud_hub.registry.names import workspace_of
from cloud_hub.registry.rows import PushRow

MOST_AT_ONCE = 256
ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class PushKey:
    """A session, and whose it is: nobody else can write into it."""

    repository: str
    principal: str
    id: str


def make(session: Session, repository: str, principal: str) -> PushKey:
    """Begin a session; raises `ConflictError` where somebody has too many."""
    begun = session.scalar(
        select(func.count())
        .select_from(PushRow)
        .where(PushRow.workspace == workspace_of(repository), PushRow.principal == principal)
    )
    if (begun or 0) >= MOST_AT_ONCE:
        raise ConflictError(
            f"you have {MOST_AT_ONCE} unfinished uploads in this workspace",
            where=repository,
            fix="Finish or delete them, or wait until they are swept.",
        )
    now = datetime.now(UTC)
    row = PushRow(
        id=uuid.uuid4().hex,
        workspace=workspace_of(repository),
        repository=repository,
        principal=principal,
        offset_bytes=0,
        verified=None,
        created_at=now,
        updated_at=now,
    )
    session.add(row)
    session.flush()
    return PushKey(repository, principal, row.id)


def find(session: Session, key: PushKey) -> PushRow:
    """Return a session's row; raises `PushUnknownError`, also for one of another person or repository."""
    row = session.get(PushRow, key.id)
    if row is None or (row.repository, row.principal) != (key.repository, key.principal):
        raise unknown(key.id)
    return row


def unknown(upload: str) -> PushUnknownError:
    """Return the error for a session that is not there, or not the caller's."""
    return PushUnknownError("no such upload in the repository", where=upload, fix="Begin it again.")


def advance(session: Session, upload: str, old: int, new: int) -> None:
    """Move the durable offset; raises `RangeInvalidError` where somebody else, such as another hub, did."""
    done = session.execute(
        update(PushRow)
        .where(PushRow.id == upload, PushRow.offset_bytes == old)
        .values(offset_bytes=new, updated_at=datetime.now(UTC), verified=None)
        .returning(PushRow.id)
    )
    if done.first() is None:
        if session.get(PushRow, upload) is not None:
            raise RangeInvalidError("the upload moved on", fix="Ask where it stands.")
        raise PushUnknownError("the upload is not there any more", where=upload, fix="Begin it again.")
