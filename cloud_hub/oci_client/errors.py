"""How talk with another registry ends badly. ``where`` is a reference or an origin, never a full address."""

from cloud_hub.errors import HubError, InvalidInputError


class InvalidReferenceError(InvalidInputError):
    """A text that should be a reference to an image is none."""

    code = "invalid-reference"


class RegistryError(HubError):
    """Another registry did not do what it was asked for."""

    code = "registry-failed"
    retriable = True


class RegistryNotFoundError(RegistryError):
    """The registry does not have it, or does not show it to this credential."""

    code = "registry-not-found"
    retriable = False


class RegistryDeniedError(RegistryError):
    """The registry does not accept the credential, or wants one."""

    code = "registry-denied"
    retriable = False


class CredentialWithheldError(RegistryDeniedError):
    """The registry wants its credential sent to where it is not for."""

    code = "registry-credential-withheld"


class RegistryContentError(RegistryError):
    """What the registry sent is not what was asked for: digest, size or form are wrong."""

    code = "registry-content"
    retriable = False


class RegistryCancelledError(RegistryError):
    """Whoever asked does not want it any more."""

    code = "registry-cancelled"
    retriable = False
