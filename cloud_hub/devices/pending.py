"""Devices that wait by a claim: an Owner accepts or rejects a key, or registers one before it comes."""

from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from cloud_hub.audit.actor import Actor
from cloud_hub.audit.service import Audit
from cloud_hub.db.engine import Database
from cloud_hub.devices.claims import ACCEPTED, REJECTED, WAITING
from cloud_hub.devices.invitations import new_device
from cloud_hub.devices.rows import ClaimRow, DeviceRow, PendingRow
from cloud_hub.errors import ConflictError, NotFoundError
from contract.ids import check_device_id, check_tag

SEE = "`headland device pending` shows those that wait."


class PendingDevices:
    """Who waits in each workspace; the same name may be asked for with more than one key."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit

    def all_in(self, workspace: str) -> list[tuple[PendingRow, str]]:
        """Return who waits, longest first, each with its claim's name."""
        query = (
            select(PendingRow, ClaimRow.name)
            .join(ClaimRow, ClaimRow.id == PendingRow.claim)
            .where(PendingRow.workspace == workspace, PendingRow.state == WAITING)
            .order_by(PendingRow.id)
        )
        with self._database.reading() as session:
            return [(row, name) for row, name in session.execute(query)]

    def accept(self, workspace: str, device: str, key: str | None, by: Actor) -> DeviceRow:
        """Make it a device, with its claim's tags; its key alone may fetch the first certificate.

        Other keys that wait for the name are rejected with that. Raises `NotFoundError`, and `ConflictError`
        where ``key`` (hex SHA-256) is None and several wait, or the name was given away.
        """
        now = datetime.now(UTC)
        with self._database.transaction() as session:
            chosen = _chosen(session, workspace, device, key)
            if session.get(DeviceRow, device) is not None:
                raise ConflictError(
                    "the device id is taken", where=device, fix="Reject it; the device may ask by another."
                )
            claim = session.get_one(ClaimRow, chosen.claim)
            row = new_device(workspace, device, now)
            row.tags, row.registered_key = dict(claim.tags), chosen.key_sha256
            session.add(row)
            others = PendingRow.workspace == workspace, PendingRow.device == device
            session.execute(
                update(PendingRow).where(*others, PendingRow.state == WAITING).values(state=REJECTED)
            )
            chosen.state = ACCEPTED
            details = {"key_sha256": chosen.key_sha256, "claim": claim.name}
            self._audit.record(session, by, "device.accept", device, workspace=workspace, details=details)
        return row

    def register(
        self, workspace: str, device: str, key: str, tags: Mapping[str, str], by: Actor
    ) -> DeviceRow:
        """Say before it comes which key is a device's: by any claim of the workspace it is let in at once.

        ``key`` is the hex SHA-256 of the public key. Any other key is refused from here on. Raises
        `InvalidNameError`, and `ConflictError` where the name is taken.
        """
        check_device_id(device)
        for tag, value in tags.items():
            check_tag(tag, value)
        with self._database.transaction() as session:
            if session.get(DeviceRow, device) is not None:
                raise ConflictError("the device id is taken", where=device, fix="Choose another id.")
            row = new_device(workspace, device, datetime.now(UTC))
            row.tags, row.registered_key = dict(tags), key
            session.add(row)
            # Who waits for that name already is let in by the same rule, or told that it is taken.
            waiting = PendingRow.workspace == workspace, PendingRow.device == device
            session.execute(delete(PendingRow).where(*waiting, PendingRow.state == WAITING))
            details = {"key_sha256": key}
            self._audit.record(session, by, "device.register", device, workspace=workspace, details=details)
        return row

    def reject(self, workspace: str, device: str, key: str | None, by: Actor) -> PendingRow:
        """Let a key wait no longer; it is told so. Raises as `accept` does."""
        with self._database.transaction() as session:
            chosen = _chosen(session, workspace, device, key)
            chosen.state = REJECTED
            details = {"key_sha256": chosen.key_sha256}
            self._audit.record(session, by, "device.reject", device, workspace=workspace, details=details)
        return chosen


def _chosen(session: Session, workspace: str, device: str, key: str | None) -> PendingRow:
    waiting = PendingRow.workspace == workspace, PendingRow.device == device, PendingRow.state == WAITING
    rows = session.scalars(select(PendingRow).where(*waiting)).all()
    found = [row for row in rows if key is None or row.key_sha256 == key]
    if not found:
        what = "no such device waits" if not rows else "no device of that name waits with that key"
        raise NotFoundError(what, where=device, fix=SEE)
    if len(found) > 1:
        raise ConflictError(
            f"{len(found)} keys wait for that name",
            where=device,
            fix="Name the key that the device itself shows: --fingerprint.",
        )
    return found[0]
