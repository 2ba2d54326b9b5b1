"""How devices come to a workspace: many invitations at once, and claims, by which they wait for an Owner."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import msgspec

from cloud_hub.sdk.client import Client
from cloud_hub.sdk.types import Device
from contract.enrolment import Claim, Invitation

MEDIA_TYPES = {"csv": "text/csv", "yaml": "application/yaml"}


class ClaimInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A claim without its token; ``most`` bounds those that wait and those that were accepted."""

    name: str
    tags: dict[str, str]
    most: int
    waiting: int
    accepted: int
    created_by: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


class PendingDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A device that waits; ``key_sha256`` is what it shows itself, ``address`` where it first asked from."""

    device: str
    claim: str
    key_sha256: str
    address: str
    asked_at: datetime


class RejectedDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A key that was rejected."""

    device: str
    key_sha256: str


class EnrolmentCalls:
    """What a `Workspace` can do so that devices come to it; one alone is invited by `invite_device`."""

    _client: Client
    name: str

    def invite_devices(self, devices: str, kind: Literal["csv", "yaml"], hours: int = 24) -> list[Invitation]:
        """Pre-register the devices of a list (CSV or YAML text), with their tags: all of them, or none."""
        return self._client.post_text(
            f"/workspaces/{self.name}/device-invitations",
            devices,
            MEDIA_TYPES[kind],
            list[Invitation],
            hours=hours,
        )

    def create_claim(
        self, name: str, *, hours: int = 168, most: int = 100, tags: Mapping[str, str] | None = None
    ) -> Claim:
        """Make a claim, by which ``most`` devices may ask; its token is shown this once."""
        body = {"name": name, "hours": hours, "most": most, "tags": dict(tags or {})}
        return self._client.post(f"/workspaces/{self.name}/device-claims", body, Claim)

    def claims(self) -> list[ClaimInfo]:
        """Return the claims by name."""
        return self._client.get(f"/workspaces/{self.name}/device-claims", list[ClaimInfo])

    def revoke_claim(self, claim: str) -> ClaimInfo:
        """End a claim, and forget who waits by it; devices that have their certificate stay."""
        return self._client.post(f"/workspaces/{self.name}/device-claims/{claim}/revocation", {}, ClaimInfo)

    def pending_devices(self) -> list[PendingDevice]:
        """Return the devices that wait, longest first."""
        return self._client.get(f"/workspaces/{self.name}/pending-devices", list[PendingDevice])

    def accept_device(self, device: str, *, key_sha256: str | None = None) -> Device:
        """Let a device in that waits; with several keys of that name say which."""
        body = {"key_sha256": key_sha256}
        return self._client.post(f"/workspaces/{self.name}/pending-devices/{device}/acceptance", body, Device)

    def reject_device(self, device: str, *, key_sha256: str | None = None) -> RejectedDevice:
        """Tell a device that waits that it is not let in."""
        body = {"key_sha256": key_sha256}
        return self._client.post(
            f"/workspaces/{self.name}/pending-devices/{device}/rejection", body, RejectedDevice
        )

    def register_device(
        self,
        device: str,
        *,
        public_key_pem: str | None = None,
        key_sha256: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Device:
        """Say which key is a device's before it comes (one of both): by a claim it is let in at once."""
        body = {
            "device": device,
            "public_key_pem": public_key_pem,
            "key_sha256": key_sha256,
            "tags": dict(tags or {}),
        }
        return self._client.post(f"/workspaces/{self.name}/device-keys", body, Device)
