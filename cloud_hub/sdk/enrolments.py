"""How devices come to a workspace: many invitations at once."""

from typing import Literal

from cloud_hub.sdk.client import Client
from contract.enrolment import Invitation

MEDIA_TYPES = {"csv": "text/csv", "yaml": "application/yaml"}


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
