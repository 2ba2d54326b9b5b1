"""What goes wrong with a webhook's secret."""

from cloud_hub.errors import HubError


class SealBrokenError(HubError):
    """A webhook's secret cannot be opened: its row was changed, or the hub's key is another."""

    code = "webhook-secret-unreadable"
