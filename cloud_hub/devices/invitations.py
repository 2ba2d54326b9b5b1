"""Invitations as rows: who may be invited, and which token may be used."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy.orm import Session

from cloud_hub.access.tokens import secret_digest
from cloud_hub.devices.lists import MOST_TAGS, Listed
from cloud_hub.devices.rows import DeviceRow, InvitationRow
from cloud_hub.errors import ConflictError, TokenExpiredError, TokenUnknownError, TokenUsedError
from contract.errors import FieldProblem

INVITE_AGAIN: Final = "Make a new one with `headland device invite`."


def why_taken(row: DeviceRow | None, workspace: str, *, replace: bool = False) -> ConflictError | None:
    """Return why a device cannot be invited, where it is there already."""
    if row is None:
        return None
    if row.workspace != workspace:
        return ConflictError("the device id is taken", where=row.id, fix="Choose another id.")
    if has_been(row) and not replace:
        return ConflictError(
            "the device is enrolled already",
            where=row.id,
            fix="Choose another id, or give --replace to end its old identity.",
        )
    return None


def all_taken(
    devices: Sequence[Listed], rows: Mapping[str, DeviceRow], workspace: str
) -> Iterator[FieldProblem]:
    """Yield what keeps devices of a list from being invited, each with its line."""
    for each in devices:
        row = rows.get(each.name)
        error = why_taken(row, workspace)
        if error is not None:
            yield FieldProblem(field="name", line=each.line, reason=f"{each.name}: {error.what}")
        elif row is not None and len({**row.tags, **each.tags}) > MOST_TAGS:
            reason = f"{each.name}: a device has at most {MOST_TAGS} tags, with those that it has"
            yield FieldProblem(field="tags", line=each.line, reason=reason)


def add_invitation(
    session: Session,
    workspace: str,
    device: str,
    now: datetime,
    expires_at: datetime,
    *,
    replace: bool = False,
) -> str:
    """Add a token for a device, and the device where it is new; return the token, which is not kept."""
    token = secrets.token_urlsafe(32)
    if session.get(DeviceRow, device) is None:
        session.add(new_device(workspace, device, now))
        session.flush()
    row = InvitationRow(
        token_sha256=secret_digest(token),
        device=device,
        replaces=replace,
        expires_at=expires_at,
        used_at=None,
    )
    session.add(row)
    return token


def new_device(workspace: str, device: str, now: datetime) -> DeviceRow:
    """Return the row of a device that nobody has heard of yet."""
    return DeviceRow(
        id=device,
        workspace=workspace,
        created_at=now,
        certificate_serial=None,
        certificate_not_after=None,
        next_serial=None,
        next_not_after=None,
        revoked_at=None,
        last_seen_at=None,
        hello=None,
        reported=None,
        tags={},
        registered_key=None,
    )


def has_been(row: DeviceRow) -> bool:
    """Was the device enrolled, accepted or revoked, so that only a new identity can be meant?"""
    return (row.certificate_serial or row.registered_key or row.revoked_at) is not None


def usable(invitation: InvitationRow | None, now: datetime) -> InvitationRow:
    """Return an invitation that may be used now; raises a `CredentialError`."""
    if invitation is None:
        raise TokenUnknownError("this hub never made that token", fix=INVITE_AGAIN)
    if invitation.used_at is not None:
        raise TokenUsedError("the token was used before; a token works once", fix=INVITE_AGAIN)
    if invitation.expires_at <= now:
        raise TokenExpiredError("the token's time is over", fix=INVITE_AGAIN)
    return invitation
