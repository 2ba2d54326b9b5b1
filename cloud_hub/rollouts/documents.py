"""Desired documents of devices: which is the newest, and what the next one says."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import UNSET
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_hub.devices.rows import DeviceRow
from cloud_hub.pki.signer import DesiredSigner
from cloud_hub.rollouts.current import AT_ONCE, newest_generations
from cloud_hub.rollouts.rows import DesiredRow
from contract.desired import Desired, ImageRef, Module
from contract.dsse import Envelope, payload_of
from contract.encoding import decode, encode

LIFETIME = timedelta(days=30)
FRESH_FOR = LIFETIME / 2
FARTHEST = 2**31 - 1_000_000  # a device that says more is not believed: the column ends there


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What a device shall run, of a rollout by its label (``name:revision``)."""

    rollout: str
    modules: tuple[Module, ...] = ()
    agent: ImageRef | None = None


def document(workspace: str, device: str, generation: int, content: Content, now: datetime) -> Desired:
    """Return a device's document in a generation."""
    return Desired(
        device=device,
        workspace=workspace,
        generation=generation,
        issued_at=now,
        not_after=now + LIFETIME,
        rollout=content.rollout,
        modules=content.modules,
        agent=content.agent or UNSET,
    )


def content_of(envelope: bytes) -> Content:
    """Return what an envelope of our own gives."""
    desired = opened(envelope)
    agent = desired.agent if isinstance(desired.agent, ImageRef) else None
    return Content(rollout=desired.rollout, modules=desired.modules, agent=agent)


def opened(envelope: bytes) -> Desired:
    """Return the document of an envelope of our own."""
    payload = payload_of(decode(envelope, Envelope, what="DSSE envelope"))
    return decode(payload, Desired, what="desired document")


def newest_above(session: Session, held_now: Mapping[str, int]) -> list[DesiredRow]:
    """Return the newest documents of devices that hold one of a lower generation."""
    found, devices = list[DesiredRow](), list(held_now)
    for start in range(0, len(devices), AT_ONCE):
        some = DesiredRow.device.in_(devices[start : start + AT_ONCE])
        known = newest_generations().where(some).subquery()
        now = session.execute(select(known.c.device, known.c.generation)).all()
        behind = [device for device, generation in now if generation > held_now[device]]
        that = (DesiredRow.device == known.c.device) & (DesiredRow.generation == known.c.generation)
        query = select(DesiredRow).join(known, that).where(DesiredRow.device.in_(behind))
        found += session.scalars(query) if behind else ()
    return found


def is_stale(row: DesiredRow, now: datetime) -> bool:
    """Is a document to be signed anew before a device is given it? Its time would soon be over."""
    return now - row.created_at > FRESH_FOR


def sign_anew(signer: DesiredSigner, row: DesiredRow, now: datetime) -> None:
    """Give a document its whole time again: the same generation with the same content."""
    desired = msgspec.structs.replace(opened(row.envelope), issued_at=now, not_after=now + LIFETIME)
    row.envelope, row.created_at = encode(signer.sign(encode(desired))), now


def generations(session: Session, devices: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return of each device the generation of its newest document (0: none), and that of its next one."""
    found = dict[str, tuple[int, int]]()
    for start in range(0, len(devices), AT_ONCE):
        some = devices[start : start + AT_ONCE]
        rows = session.execute(newest_generations().where(DesiredRow.device.in_(some)))
        issued: dict[str, int] = {device: generation for device, generation in rows}  # noqa: C416  typed so
        said = select(DeviceRow.id, DeviceRow.hello, DeviceRow.reported).where(DeviceRow.id.in_(some))
        for device, hello, reported in session.execute(said):
            own = issued.get(device, 0)
            found[device] = own, max(own, held(hello, reported)) + 1
    return found


def held(hello: Mapping[str, Any] | None, reported: Mapping[str, Any] | None) -> int:
    """Return the generation that a device says it holds: beyond ours, where we are an older backup."""
    said = [(document or {}).get("generation") for document in (hello, reported)]
    return max((number for number in said if isinstance(number, int) and number < FARTHEST), default=0)
