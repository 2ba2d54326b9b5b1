"""What can go wrong with the audit log."""

from cloud_hub.errors import HubError


class AuditBrokenError(HubError):
    """A chain does not end where its head says, so nothing may be written after it."""

    code = "audit-broken"
