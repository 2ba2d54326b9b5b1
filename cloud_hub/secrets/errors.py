"""What can go wrong with secrets. No name of a value, and no value, is in any of them."""

from cloud_hub.errors import HubError


class SecretDestroyedError(HubError):
    """That version of the secret was destroyed: there is no way back to its value."""

    code = "secret-destroyed"


class SecretUnreadableError(HubError):
    """A stored value cannot be opened: it was changed or moved, or its master key is not there."""

    code = "secret-unreadable"
