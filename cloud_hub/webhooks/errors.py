"""What goes wrong on the way to a receiver."""

from cloud_hub.errors import HubError


class OutboundError(HubError):
    """A receiver gave no answer: not there, too slow, or not to be connected to."""

    code = "outbound-failed"
    retriable = True


class SealBrokenError(HubError):
    """A webhook's secret cannot be opened: its row was changed, or the hub's key is another."""

    code = "webhook-secret-unreadable"
