"""What can go wrong with the hub's keys and certificates."""

from typing import ClassVar

from contract.errors import HeadlandError


class PkiError(HeadlandError):
    """Root of the errors of this package."""

    code: ClassVar[str] = "pki-error"


class KeyFileError(PkiError):
    """A key or certificate file is missing, unreadable, open to others or not what it should be."""

    code = "key-file-invalid"


class KeyFileExistsError(PkiError):
    """A key would be written over one that is there."""

    code = "key-file-exists"


class CsrRefusedError(PkiError):
    """A certificate request is not one, is not signed by its own key, or its key is too weak."""

    code = "csr-refused"


class InvalidHostError(PkiError):
    """A name for the server's certificate is neither a DNS name nor an IP address."""

    code = "host-name-invalid"
