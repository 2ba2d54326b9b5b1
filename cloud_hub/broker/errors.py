"""What can go wrong between the hub and its broker."""

from typing import ClassVar

from contract.errors import HeadlandError


class BrokerError(HeadlandError):
    """Root of the errors of this package."""

    code: ClassVar[str] = "broker-error"


class ServerMissingError(BrokerError):
    """No usable `nats-server` program is there."""

    code = "broker-program-missing"


class BrokerStartError(BrokerError):
    """The server did not become ready."""

    code = "broker-start-failed"
    retriable = True


class AddressUnavailableError(BrokerError):
    """The address to listen on is in use, not allowed or not of this machine."""

    code = "broker-address-unavailable"


class FolderInUseError(BrokerError):
    """Another live hub holds the broker's folder."""

    code = "broker-folder-in-use"


class BrokerUnavailableError(BrokerError):
    """The server does not answer just now."""

    code = "broker-unavailable"
    retriable = True


class AuthRequestError(BrokerError):
    """What arrived as an authorization request is not one that our server signed."""

    code = "auth-request-invalid"
