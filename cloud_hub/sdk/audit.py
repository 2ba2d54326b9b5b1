"""An audit log: a workspace's, or the hub's own."""

from datetime import datetime

from cloud_hub.sdk.client import Client
from cloud_hub.sdk.vault_types import AuditEntry, AuditVerdict


class AuditLog:
    """Reads and checks one log."""

    def __init__(self, client: Client, path: str) -> None:
        self._client = client
        self._path = path

    def entries(
        self,
        *,
        principal: str | None = None,
        action: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[AuditEntry]:
        """Return entries, newest first, at most ``limit`` (1 to 1,000); times need a zone.

        To read on, give the ``sequence`` of the last one as ``before``.
        """
        return self._client.get(
            self._path,
            list[AuditEntry],
            principal=principal,
            action=action,
            since=since,
            until=until,
            before_seq=before,
            limit=limit,
        )

    def verify(self, sequence: int | None = None, mac: str | None = None) -> AuditVerdict:
        """Check every entry; with the end that an earlier answer named, also that it is still there."""
        return self._client.get(f"{self._path}/verify", AuditVerdict, sequence=sequence, mac=mac)
