"""Devices: invited by an owner, enrolled once, renewed in time, heard from ever after."""

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from cloud_hub.access.tokens import secret_digest
from cloud_hub.audit.actor import Actor
from cloud_hub.audit.service import Audit
from cloud_hub.db.engine import Database
from cloud_hub.devices.invitations import INVITE_AGAIN, add_invitation, all_taken, has_been, usable, why_taken
from cloud_hub.devices.lists import MOST_TAGS, Listed, refused_names
from cloud_hub.devices.rows import DeviceRow, InvitationRow
from cloud_hub.errors import ConflictError, NotFoundError, TokenUsedError
from cloud_hub.pki.authority import Authority, DeviceCertificate
from contract.enrolment import EnrolAnswer, EnrolRequest, Invitation, RenewRequest
from contract.ids import check_device_id, check_tag
from contract.messages import Hello, Reported


@dataclasses.dataclass(frozen=True)
class HubFacts:
    """What a device is told of its hub."""

    url: str
    mqtt_host: str
    mqtt_port: int
    desired_keys: dict[str, str]


class Devices:
    """The devices of all workspaces; ids are unique in the hub."""

    def __init__(self, database: Database, authority: Authority, facts: HubFacts, audit: Audit) -> None:
        self._database = database
        self._audit = audit
        self._authority = authority
        self._facts = facts

    def invite(
        self, workspace: str, device: str, lifetime: timedelta, by: Actor, *, replace: bool = False
    ) -> Invitation:
        """Pre-register a device and make its one-time token, or a new token for one not yet enrolled.

        With ``replace`` an enrolled device may enrol again, and its old certificate ends with that:
        for a machine whose disk was lost, or that never got the hub's answer.
        """
        check_device_id(device)
        now = datetime.now(UTC)
        with self._database.transaction() as session:
            taken = why_taken(session.get(DeviceRow, device), workspace, replace=replace)
            if taken is not None:
                raise taken
            token = add_invitation(session, workspace, device, now, now + lifetime, replace=replace)
            details = {"replace": str(replace)}
            self._audit.record(session, by, "device.invite", device, workspace=workspace, details=details)
        return self._invitation(device, token)

    def invite_all(
        self, workspace: str, devices: Sequence[Listed], lifetime: timedelta, by: Actor
    ) -> list[Invitation]:
        """Pre-register the devices of a list and set their tags: all of them, or none.

        One that was invited and has not enrolled gets a further token. Raises `DeviceListError`, which names
        each one that is taken.
        """
        now = datetime.now(UTC)
        names = [each.name for each in devices]
        with self._database.transaction() as session:
            found = session.scalars(select(DeviceRow).where(DeviceRow.id.in_(names)))
            rows = {row.id: row for row in found}
            faults = list(all_taken(devices, rows, workspace))
            if faults:
                raise refused_names(faults)
            tokens = [add_invitation(session, workspace, name, now, now + lifetime) for name in names]
            for each in devices:
                row = session.get_one(DeviceRow, each.name)
                row.tags = dict(sorted({**row.tags, **each.tags}.items()))
            for each in devices:
                details = {"replace": "False"} | {f"tag.{name}": value for name, value in each.tags.items()}
                self._audit.record(
                    session, by, "device.invite", each.name, workspace=workspace, details=details
                )
        return [self._invitation(name, token) for name, token in zip(names, tokens, strict=True)]

    @property
    def hub(self) -> tuple[str, str]:
        """Where devices find the hub, and its CA's fingerprint, by which they know it."""
        return self._facts.url, self._authority.fingerprint

    def _invitation(self, device: str, token: str) -> Invitation:
        return Invitation(
            hub=self._facts.url, ca_sha256=self._authority.fingerprint, device=device, token=token
        )

    def enrol(self, request: EnrolRequest, asked: Actor) -> EnrolAnswer:
        """Turn a token and a certificate request into an identity; a token works once.

        The token is spent only together with the certificate's serial: one transaction.
        """
        now = datetime.now(UTC)
        with self._database.transaction() as session:
            invitation = usable(session.get(InvitationRow, secret_digest(request.token)), now)
            device = session.get_one(DeviceRow, invitation.device)
            if has_been(device) and not invitation.replaces:
                raise TokenUsedError("the device is enrolled already", fix=f"{INVITE_AGAIN[:-1]} --replace.")
            issued = self._authority.issue_device(request.csr_pem, device.id, now)
            invitation.used_at = now
            device.certificate_serial = issued.serial
            device.certificate_not_after = issued.not_after
            device.next_serial = device.next_not_after = device.revoked_at = device.registered_key = None
            workspace = device.workspace
            by = dataclasses.replace(asked, principal=f"device:{device.id}")
            details = {"serial": issued.serial}
            self._audit.record(session, by, "device.enrol", device.id, workspace=workspace, details=details)
        return self.answer(invitation.device, workspace, issued)

    def revoke(self, workspace: str, device: str, by: Actor) -> DeviceRow:
        """End a device's identity: no certificate and no invitation of it counts any more.

        Whoever calls has its connections closed. A new invitation with ``replace`` lets it in again. Revoked
        twice is revoked; raises `NotFoundError`.
        """
        now = datetime.now(UTC)
        with self._database.transaction() as session:
            row = find_device(session, workspace, device)
            if row.revoked_at is None:
                row.revoked_at, row.registered_key = now, None
                unused = InvitationRow.device == device, InvitationRow.used_at.is_(None)
                session.execute(update(InvitationRow).where(*unused).values(used_at=now))
                self._audit.record(session, by, "device.revoke", device, workspace=workspace)
        return row

    def tag(self, workspace: str, device: str, tags: Mapping[str, str | None], by: Actor) -> DeviceRow:
        """Set tags of a device; None takes one away (RFC 7396).

        Raises `InvalidNameError`, `NotFoundError`, and `ConflictError` where there are too many.
        """
        for name, value in tags.items():
            check_tag(name, value)
        with self._database.transaction() as session:
            row = find_device(session, workspace, device)
            merged = {**row.tags, **tags}
            row.tags = {name: value for name, value in sorted(merged.items()) if value is not None}
            if len(row.tags) > MOST_TAGS:
                raise ConflictError(
                    f"a device has at most {MOST_TAGS} tags", where=device, fix="Remove some."
                )
            details = {f"tag.{name}": value or "" for name, value in tags.items()}
            self._audit.record(session, by, "device.tag", device, workspace=workspace, details=details)
        return row

    def renew(self, device: str, request: RenewRequest, asked: Actor) -> EnrolAnswer:
        """Give a device its next certificate; the one it has counts until that one is used.

        A device that lost the answer asks again: of what was not used only the last counts. Raises
        `CsrRefusedError`.
        """
        now = datetime.now(UTC)
        with self._database.transaction() as session:
            row = session.get_one(DeviceRow, device, with_for_update=True)
            issued = self._authority.issue_device(request.csr_pem, device, now)
            row.next_serial, row.next_not_after = issued.serial, issued.not_after
            workspace, details = row.workspace, {"serial": issued.serial}
            self._audit.record(session, asked, "device.renew", device, workspace=workspace, details=details)
        return self.answer(device, workspace, issued)

    def answer(self, device: str, workspace: str, issued: DeviceCertificate) -> EnrolAnswer:
        """Return what a device is told with a new certificate."""
        return EnrolAnswer(
            device=device,
            workspace=workspace,
            certificate_pem=issued.certificate_pem.decode(),
            ca_pem=self._authority.ca_pem.decode(),
            desired_keys=self._facts.desired_keys,
            mqtt_host=self._facts.mqtt_host,
            mqtt_port=self._facts.mqtt_port,
        )

    def recognise(self, device: str, serial: str) -> DeviceRow | None:
        """Return the device whose certificate this is, or none where it is unknown, replaced or revoked.

        A renewed certificate counts from here on, and the one before it no longer.
        """
        with self._database.reading() as session:
            row = session.get(DeviceRow, device)
        return self._judged(row, serial)

    def _judged(self, row: DeviceRow | None, serial: str) -> DeviceRow | None:
        if row is None or row.revoked_at is not None:
            return None
        if row.certificate_serial == serial:
            return row
        return self._first_use(row.id, serial) if row.next_serial == serial else None

    def _first_use(self, device: str, serial: str) -> DeviceRow | None:
        with self._database.transaction() as session:
            row = session.get_one(DeviceRow, device, with_for_update=True)
            if row.revoked_at is None and row.next_serial == serial:
                row.certificate_serial, row.certificate_not_after = row.next_serial, row.next_not_after
                row.next_serial = row.next_not_after = None
        return row if row.revoked_at is None and row.certificate_serial == serial else None

    def known(self, shown: Sequence[tuple[str, str]]) -> list[bool]:
        """Say for each device and serial whether `recognise` finds it; many cost little more than one."""
        names = {device for device, _ in shown}
        with self._database.reading() as session:
            found = session.scalars(select(DeviceRow).where(DeviceRow.id.in_(names)))
            rows = {row.id: row for row in found}
        return [self._judged(rows.get(device), serial) is not None for device, serial in shown]

    def heard(self, said: Sequence[tuple[str, Hello | Reported]]) -> None:
        """Keep what devices said after they connected, and of themselves, in this order.

        A device's clock is not asked: it may be wrong.
        """
        # Of a device that said a thing more than once the last one counts.
        hellos = {device: each for device, each in said if isinstance(each, Hello)}
        reports = {device: each for device, each in said if isinstance(each, Reported)}
        with self._database.transaction() as session:
            _keep(session, DeviceRow.hello, hellos)
            _keep(session, DeviceRow.reported, reports)

    def get(self, workspace: str, device: str) -> DeviceRow:
        """Return a device; raises `NotFoundError`."""
        with self._database.reading() as session:
            return find_device(session, workspace, device)

    def all_in(self, workspace: str) -> list[DeviceRow]:
        """Return the workspace's devices by id."""
        query = select(DeviceRow).where(DeviceRow.workspace == workspace).order_by(DeviceRow.id)
        with self._database.reading() as session:
            return list(session.scalars(query).all())


def _keep(
    session: Session,
    column: InstrumentedAttribute[dict[str, Any] | None],
    said: Mapping[str, Hello | Reported],
) -> None:
    """Keep what each device said last; one that is not there says nothing."""
    row = DeviceRow.id == bindparam("device")
    values = {column: bindparam("said"), DeviceRow.last_seen_at: datetime.now(UTC)}
    if said:
        rows = [{"device": device, "said": msgspec.to_builtins(each)} for device, each in said.items()]
        session.connection().execute(update(DeviceRow).where(row).values(values), rows)


def find_device(session: Session, workspace: str, device: str) -> DeviceRow:
    """Return a device within a transaction; raises `NotFoundError`."""
    row = session.get(DeviceRow, device)
    if row is None or row.workspace != workspace:
        raise NotFoundError(
            "no such device in this workspace", where=device, fix="`headland device list` shows them."
        )
    return row
