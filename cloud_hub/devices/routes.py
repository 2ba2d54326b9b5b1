"""HTTP: devices as their owners see them."""

from datetime import datetime, timedelta
from typing import Any

from fastapi import Response
from pydantic import AwareDatetime, Field

from cloud_hub.access.policy import WORKSPACE
from cloud_hub.api.auth import Hub, Who, guarded_router
from cloud_hub.api.schemas import Answer, Ask
from cloud_hub.devices.lists import MOST_TAGS
from cloud_hub.devices.rows import DeviceRow
from cloud_hub.errors import NotFoundError

router = guarded_router(f"{WORKSPACE}/devices", "devices")


class InviteAsk(Ask):
    """A device to invite."""

    device: str
    hours: int = Field(default=24, ge=1, le=24 * 30)
    replace: bool = False


class InvitationAnswer(Answer):
    """What the device needs to enrol (`contract.enrolment.Invitation`); the token is shown this once."""

    hub: str
    ca_sha256: str
    device: str
    token: str


class DeviceAnswer(Answer):
    """A device, and what it last said."""

    id: str
    state: str
    created_at: datetime
    certificate_not_after: datetime | None
    last_seen_at: datetime | None
    hello: dict[str, Any] | None
    reported: dict[str, Any] | None
    tags: dict[str, str]


class ChangeAsk(Ask):
    """What to change; a tag of null is taken away, the others stay."""

    tags: dict[str, str | None] = Field(min_length=1, max_length=MOST_TAGS)


class PulledAnswer(Answer):
    """What the registry sent to a device."""

    sent_bytes: int
    answers: int


@router.post("", status_code=201)
def invite(ask: InviteAsk, hub: Hub, who: Who) -> InvitationAnswer:
    """Pre-register a device and make its one-time token."""
    invitation = hub.devices.invite(
        who.workspace, ask.device, timedelta(hours=ask.hours), who.by, replace=ask.replace
    )
    return InvitationAnswer.model_validate(invitation)


@router.get("")
def devices(hub: Hub, who: Who) -> list[DeviceAnswer]:
    """Return the workspace's devices."""
    return [answer_of(row) for row in hub.devices.all_in(who.workspace)]


@router.get("/{device}")
def show(device: str, hub: Hub, who: Who) -> DeviceAnswer:
    """Return a device."""
    return answer_of(hub.devices.get(who.workspace, device))


@router.post("/{device}/revocation")
def revoke(device: str, hub: Hub, who: Who) -> DeviceAnswer:
    """End a device's identity, and its connection."""
    row = hub.devices.revoke(who.workspace, device, who.by)
    hub.disconnect(device)
    return answer_of(row)


@router.patch("/{device}")
def change(device: str, ask: ChangeAsk, hub: Hub, who: Who) -> DeviceAnswer:
    """Change a device's tags."""
    return answer_of(hub.devices.tag(who.workspace, device, ask.tags, who.by))


@router.get("/{device}/pulled")
def pulled(device: str, hub: Hub, who: Who, since: AwareDatetime | None = None) -> PulledAnswer:
    """Return how much the registry sent to a device, since a time if one is given."""
    hub.devices.get(who.workspace, device)
    sent_bytes, answers = hub.registry.pulled(device, since)
    return PulledAnswer(sent_bytes=sent_bytes, answers=answers)


@router.get("/{device}/document", response_class=Response)
def document(device: str, hub: Hub, who: Who) -> Response:
    """Return the newest signed document of a device, byte for byte as it is sent to it."""
    hub.devices.get(who.workspace, device)
    envelope = hub.rollouts.newer_than(device, 0)
    if envelope is None:
        raise NotFoundError(
            "nothing was rolled out to this device yet", where=device, fix="`headland rollout apply` first."
        )
    return Response(envelope, media_type="application/json")


def answer_of(row: DeviceRow) -> DeviceAnswer:
    """Return a device as the API tells of it."""
    state = "enrolled"
    if row.certificate_serial is None:
        state = "invited" if row.registered_key is None else "accepted"
    return DeviceAnswer(
        id=row.id,
        state="revoked" if row.revoked_at is not None else state,
        created_at=row.created_at,
        certificate_not_after=row.certificate_not_after,
        last_seen_at=row.last_seen_at,
        hello=row.hello,
        reported=row.reported,
        tags=row.tags,
    )
