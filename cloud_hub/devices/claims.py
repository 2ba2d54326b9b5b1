"""Claims: what many devices may ask by. Who asks waits until an Owner has accepted its key.

Always true here: a claim is looked at before anything else is, so that who has none learns nothing; what a
claim's token is compared with is its SHA-256, in constant time.
"""

import dataclasses
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from typing import Final, Literal

from sqlalchemy import Select, delete, func, select
from sqlalchemy.orm import Session

from cloud_hub.access.limits import AttemptLimits
from cloud_hub.access.tokens import secret_digest
from cloud_hub.audit.actor import Actor
from cloud_hub.audit.service import Audit
from cloud_hub.db.engine import Database
from cloud_hub.devices.rows import ClaimRow, DeviceRow, PendingRow
from cloud_hub.devices.service import Devices
from cloud_hub.errors import (
    ClaimExpiredError,
    ClaimFullError,
    ClaimUnknownError,
    ConflictError,
    EnrolmentRejectedError,
    NotFoundError,
)
from cloud_hub.pki.authority import Authority
from cloud_hub.pki.requests import key_sha256, requested_key
from contract.enrolment import Claim, EnrolAnswer, EnrolPending, EnrolRequest
from contract.ids import check_device_id, check_name, check_tag

MOST_DEVICES: Final = 10_000
POLL_S: Final = 5
WAITING, ACCEPTED, REJECTED = "waiting", "accepted", "rejected"
TOKEN: Final = re.compile(r"hlc_([0-9a-f]{16})_[A-Za-z0-9_-]{43}")
NOTHING: Final = "0" * 64
Verdict = Literal["certificate", "wait", "new"]


class Claims:
    """The claims of all workspaces, and the requests that come by them."""

    def __init__(
        self,
        database: Database,
        authority: Authority,
        devices: Devices,
        limits: AttemptLimits,
        audit: Audit,
    ) -> None:
        self._database = database
        self._authority = authority
        self._devices = devices
        self._limits = limits
        self._audit = audit

    def create(
        self, workspace: str, name: str, lifetime: timedelta, most: int, tags: Mapping[str, str], by: Actor
    ) -> Claim:
        """Make a claim for ``most`` devices, which get ``tags``; its token is not kept.

        Raises `InvalidNameError`, and `ConflictError` where the name is taken.
        """
        check_name(name, where="claim")
        for tag, value in tags.items():
            check_tag(tag, value)
        now, claim_id = datetime.now(UTC), secrets.token_hex(8)
        token = f"hlc_{claim_id}_{secrets.token_urlsafe(32)}"
        with self._database.transaction() as session:
            if session.scalar(_named(workspace, name)) is not None:
                raise ConflictError("there is a claim of that name", where=name, fix="Choose another name.")
            row = ClaimRow(
                id=claim_id,
                workspace=workspace,
                name=name,
                token_sha256=secret_digest(token),
                tags=dict(tags),
                most=most,
                created_by=by.principal,
                created_at=now,
                expires_at=now + lifetime,
                revoked_at=None,
            )
            session.add(row)
            details = {"most": str(most), "expires_at": row.expires_at.isoformat()}
            self._audit.record(session, by, "claim.create", name, workspace=workspace, details=details)
        url, ca_sha256 = self._devices.hub
        return Claim(hub=url, ca_sha256=ca_sha256, claim=name, token=token)

    def all_in(self, workspace: str) -> list[tuple[ClaimRow, dict[str, int]]]:
        """Return the workspace's claims by name, each with how many devices are in which state."""
        with self._database.reading() as session:
            query = select(ClaimRow).where(ClaimRow.workspace == workspace).order_by(ClaimRow.name)
            return [(row, _counts(session, row)) for row in session.scalars(query)]

    def revoke(self, workspace: str, name: str, by: Actor) -> tuple[ClaimRow, dict[str, int]]:
        """End a claim: nobody asks by it any more, and who waits by it is forgotten.

        Devices that have their certificate stay. Revoked twice is revoked; raises `NotFoundError`.
        """
        with self._database.transaction() as session:
            row = session.scalar(_named(workspace, name))
            if row is None:
                raise NotFoundError(
                    "no such claim", where=name, fix="`headland device claim list` shows them."
                )
            if row.revoked_at is None:
                row.revoked_at = datetime.now(UTC)
                waiting = PendingRow.claim == row.id, PendingRow.state == WAITING
                session.execute(delete(PendingRow).where(*waiting))
                self._audit.record(session, by, "claim.revoke", name, workspace=workspace)
            return row, _counts(session, row)

    def ask(self, request: EnrolRequest, asked: Actor) -> EnrolAnswer | EnrolPending:
        """Answer a device that asks by a claim: it waits, or has been accepted and gets its certificate.

        Only what is new is written, so that asking again costs a look. Raises `ClaimUnknownError` before
        anything else, then `CsrRefusedError`, `InvalidNameError`, `EnrolmentRejectedError`,
        `ClaimExpiredError`, `ClaimFullError` and `ConflictError`.
        """
        now = datetime.now(UTC)
        with self._database.reading() as session:
            claim = _good_claim(session, request.token)
            key = key_sha256(requested_key(request.csr_pem))
            check_device_id(request.device)
            verdict = _judged(session, claim, request.device, key, now)
        if verdict == "certificate":
            # Each of these is a certificate and an entry in the audit log.
            self._limits.tried(("renewal", request.device))
            return self._certificate(request, key, asked)
        if verdict == "new":
            verdict = self._note(request, key, asked)
        return EnrolPending(device=request.device, key_sha256=key, retry_after_s=POLL_S)

    def _note(self, request: EnrolRequest, key: str, asked: Actor) -> Verdict:
        """Let a key wait, if that is right still."""
        now = datetime.now(UTC)
        with self._database.transaction() as session:
            claim = _good_claim(session, request.token)
            verdict = _judged(session, claim, request.device, key, now)
            if verdict != "new":
                return verdict
            row = PendingRow(
                workspace=claim.workspace,
                claim=claim.id,
                device=request.device,
                key_sha256=key,
                state=WAITING,
                address=asked.address,
                asked_at=now,
            )
            session.add(row)
            by = dataclasses.replace(asked, principal=f"claim:{claim.name}")
            self._audit.record(
                session, by, "device.ask", row.device, workspace=row.workspace, details={"key_sha256": key}
            )
        return "wait"

    def _certificate(self, request: EnrolRequest, key: str, asked: Actor) -> EnrolAnswer | EnrolPending:
        """Give the key that was accepted its certificate; where the answer was lost, another.

        What it was given before counts until the new one is used, as with a renewal.
        """
        now = datetime.now(UTC)
        with self._database.transaction() as session:
            claim = _good_claim(session, request.token)
            if _judged(session, claim, request.device, key, now) != "certificate":
                return EnrolPending(device=request.device, key_sha256=key, retry_after_s=POLL_S)
            row = session.get_one(DeviceRow, request.device)
            issued = self._authority.issue_device(request.csr_pem, row.id, now)
            if row.certificate_serial is None:
                row.certificate_serial, row.certificate_not_after = issued.serial, issued.not_after
            else:
                row.next_serial, row.next_not_after = issued.serial, issued.not_after
            by = dataclasses.replace(asked, principal=f"device:{row.id}")
            details = {"serial": issued.serial, "claim": claim.name, "key_sha256": key}
            self._audit.record(session, by, "device.enrol", row.id, workspace=row.workspace, details=details)
        return self._devices.answer(row.id, row.workspace, issued)


def _named(workspace: str, name: str) -> Select[ClaimRow]:
    return select(ClaimRow).where(ClaimRow.workspace == workspace, ClaimRow.name == name)


def _good_claim(session: Session, token: str) -> ClaimRow:
    """Return the claim of a token; raises `ClaimUnknownError`, the same whatever is wrong with it."""
    form = TOKEN.fullmatch(token)
    row = session.get(ClaimRow, form[1]) if form is not None else None
    same = compare_digest(row.token_sha256 if row is not None else NOTHING, secret_digest(token))
    if row is None or not same or row.revoked_at is not None:
        raise ClaimUnknownError(
            "this hub knows no such claim, or it was revoked",
            fix="Ask an Owner for a new one (`headland device claim create`).",
        )
    return row


def _judged(session: Session, claim: ClaimRow, device: str, key: str, now: datetime) -> Verdict:
    """Say what becomes of a key that asks for a name by a good claim."""
    row = session.get(DeviceRow, device)
    states = (
        PendingRow.workspace == claim.workspace,
        PendingRow.device == device,
        PendingRow.key_sha256 == key,
    )
    state = session.scalar(select(PendingRow.state).where(*states))
    in_time = claim.expires_at > now
    if row is not None and (in_time or state == ACCEPTED) and _may_fetch(row, claim.workspace, key):
        return "certificate"
    if state == REJECTED:
        raise EnrolmentRejectedError(
            "an Owner rejected this device", where=device, fix="Ask them; with a new key it may ask again."
        )
    if state == WAITING and row is None:
        return "wait"
    if not in_time:
        raise ClaimExpiredError(
            "the claim's time is over", fix="Ask an Owner for a new one (`headland device claim create`)."
        )
    if row is not None:
        raise ConflictError("the device id is taken", where=device, fix="Choose another id (--name).")
    counts = _counts(session, claim)
    if counts[WAITING] + counts[ACCEPTED] >= claim.most:
        raise ClaimFullError(
            "as many devices came by this claim as it is for",
            where=claim.name,
            fix="An Owner accepts or rejects those that wait, or makes a claim for more.",
        )
    return "new"


def _may_fetch(row: DeviceRow, workspace: str, key: str) -> bool:
    """Is this the device's registered key, and the device one that was never heard?"""
    same = compare_digest(row.registered_key or NOTHING, key)
    return same and row.workspace == workspace and row.revoked_at is None and row.last_seen_at is None


def _counts(session: Session, claim: ClaimRow) -> dict[str, int]:
    query = select(PendingRow.state, func.count()).where(PendingRow.claim == claim.id)
    found = {state: count for state, count in session.execute(query.group_by(PendingRow.state))}  # noqa: C416  rows are no pairs to mypy
    return dict.fromkeys((WAITING, ACCEPTED, REJECTED), 0) | found
