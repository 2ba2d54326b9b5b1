"""What can go wrong with secrets on a device. No value is in any of them."""

from agent.errors import AgentError


class SecretUnavailableError(AgentError):
    """A secret is not on the device, and the hub does not give it now."""

    code = "secret-unavailable"
    retriable = True


class SecretGoneError(AgentError):
    """The hub will never give this version of a secret again: it was destroyed."""

    code = "secret-gone"


class NoMemoryFolderError(AgentError):
    """The device has no folder whose files are in memory alone."""

    code = "no-memory-folder"
