"""What an activity may be told, and what a reader of it."""

from cloud_hub.errors import HubError


class ActivityStoppedError(HubError):
    """The activity is to stop: it was cancelled, the hub stops, or another process has taken it over."""

    code = "activity-stopped"


class TooManyStreamsError(HubError):
    """As many event streams are open as this hub serves at once."""

    code = "too-many-streams"
    retriable = True
