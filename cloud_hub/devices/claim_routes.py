"""HTTP: claims, and the devices that wait by them, for Owners."""

from datetime import datetime, timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field

from cloud_hub.access.policy import WORKSPACE
from cloud_hub.api.auth import Hub, Who, guarded_router
from cloud_hub.api.schemas import Answer, Ask
from cloud_hub.devices.claims import ACCEPTED, MOST_DEVICES, WAITING
from cloud_hub.devices.lists import MOST_TAGS
from cloud_hub.devices.routes import DeviceAnswer, answer_of
from cloud_hub.devices.rows import ClaimRow, PendingRow
from cloud_hub.errors import InvalidInputError
from cloud_hub.pki.requests import key_sha256, public_key

claims = guarded_router(f"{WORKSPACE}/device-claims", "devices")
pending = guarded_router(f"{WORKSPACE}/pending-devices", "devices")
keys = guarded_router(f"{WORKSPACE}/device-keys", "devices")


def _plain(value: object) -> object:
    """Return a fingerprint as it is kept, however its bytes were set apart."""
    return value.replace(":", "").replace(" ", "").lower() if isinstance(value, str) else value


Key = Annotated[str, BeforeValidator(_plain), Field(pattern="^[0-9a-f]{64}$")]


class ClaimAsk(Ask):
    """A claim to make."""

    name: str
    hours: int = Field(default=24 * 7, ge=1, le=24 * 366)
    most: int = Field(default=100, ge=1, le=MOST_DEVICES)
    tags: dict[str, str] = Field(default_factory=dict, max_length=MOST_TAGS)


class NewClaimAnswer(Answer):
    """What devices need to ask (`contract.enrolment.Claim`); the token is shown this once."""

    hub: str
    ca_sha256: str
    claim: str
    token: str


class ClaimAnswer(Answer):
    """A claim without its token; how many devices wait by it, and how many were accepted."""

    name: str
    tags: dict[str, str]
    most: int
    waiting: int
    accepted: int
    created_by: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


class PendingAnswer(Answer):
    """A device that waits, or waited until now; ``address`` is where it first asked from."""

    device: str
    claim: str
    key_sha256: str
    address: str
    asked_at: datetime


class ChoiceAsk(Ask):
    """Which key is meant; it may be left out where one alone waits."""

    key_sha256: Key | None = None


class RegisterAsk(Ask):
    """A device and its key: the public key itself (PEM), or its fingerprint."""

    device: str
    public_key_pem: str | None = None
    key_sha256: Key | None = None
    tags: dict[str, str] = Field(default_factory=dict, max_length=MOST_TAGS)


class RejectedAnswer(Answer):
    """What was rejected."""

    device: str
    key_sha256: str


@claims.post("", status_code=201)
def create(ask: ClaimAsk, hub: Hub, who: Who) -> NewClaimAnswer:
    """Make a claim, by which many devices may ask."""
    lifetime = timedelta(hours=ask.hours)
    made = hub.claims.create(who.workspace, ask.name, lifetime, ask.most, ask.tags, who.by)
    return NewClaimAnswer.model_validate(made)


@claims.get("")
def all_claims(hub: Hub, who: Who) -> list[ClaimAnswer]:
    """Return the workspace's claims."""
    return [_claim(row, counts) for row, counts in hub.claims.all_in(who.workspace)]


@claims.post("/{claim}/revocation")
def revoke(claim: str, hub: Hub, who: Who) -> ClaimAnswer:
    """End a claim, and forget who waits by it."""
    return _claim(*hub.claims.revoke(who.workspace, claim, who.by))


@pending.get("")
def all_pending(hub: Hub, who: Who) -> list[PendingAnswer]:
    """Return the devices that wait."""
    return [_pending(row, claim) for row, claim in hub.pending.all_in(who.workspace)]


@pending.post("/{device}/acceptance")
def accept(device: str, ask: ChoiceAsk, hub: Hub, who: Who) -> DeviceAnswer:
    """Accept a device that waits: it gets its certificate when it asks again."""
    return answer_of(hub.pending.accept(who.workspace, device, ask.key_sha256, who.by))


@pending.post("/{device}/rejection")
def reject(device: str, ask: ChoiceAsk, hub: Hub, who: Who) -> RejectedAnswer:
    """Reject a device that waits."""
    return RejectedAnswer.model_validate(hub.pending.reject(who.workspace, device, ask.key_sha256, who.by))


@keys.post("", status_code=201)
def register(ask: RegisterAsk, hub: Hub, who: Who) -> DeviceAnswer:
    """Say which key is a device's before it comes: by a claim it is let in at once."""
    if (ask.public_key_pem is None) == (ask.key_sha256 is None):
        raise InvalidInputError("give the public key or its fingerprint", where="key_sha256")
    key = ask.key_sha256 or key_sha256(public_key(ask.public_key_pem or ""))
    return answer_of(hub.pending.register(who.workspace, ask.device, key, ask.tags, who.by))


def _claim(row: ClaimRow, counts: dict[str, int]) -> ClaimAnswer:
    return ClaimAnswer(
        name=row.name,
        tags=row.tags,
        most=row.most,
        waiting=counts[WAITING],
        accepted=counts[ACCEPTED],
        created_by=row.created_by,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )


def _pending(row: PendingRow, claim: str) -> PendingAnswer:
    return PendingAnswer(
        device=row.device, claim=claim, key_sha256=row.key_sha256, address=row.address, asked_at=row.asked_at
    )
