"""What can be wrong with a backup."""

from cloud_hub.errors import HubError


class BackupError(HubError):
    """A backup cannot be made, or is not whole."""

    code = "backup-failed"


class RestoreError(HubError):
    """A backup cannot be restored here."""

    code = "restore-failed"
