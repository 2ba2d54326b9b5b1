"""TLS between devices: each shows the certificate that the hub gave it, and reads the other's name in it.

A device's certificate is a client's, so that no device can pass for the hub; OpenSSL therefore takes it for
no server's. So who asks a neighbour looks at its certificate here: after the handshake, which has proved its
key, and before a byte is sent.
"""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from agent.identity.store import Identity

COMMON_NAME: Final = "commonName"


class NotThatNeighbourError(ssl.SSLError):
    """Who answers is not the device that was to be asked."""

    def __init__(self, why: str) -> None:
        super().__init__(f"it is not the neighbour of the settings: {why}")


class _Verifying(ssl.SSLContext):
    """A context whose connections are given out only after ``verify`` saw the other's certificate (DER)."""

    verify: Callable[[bytes], None]

    def wrap_socket(self, *arguments: Any, **words: Any) -> ssl.SSLSocket:  # noqa: ANN401  as it is declared
        """Shake hands, and look."""
        line = super().wrap_socket(*arguments, **words)
        try:
            self.verify(line.getpeercert(binary_form=True) or b"")
        except BaseException:
            line.close()
            raise
        return line


def serving_context(identity: Identity) -> ssl.SSLContext:
    """Return TLS for who is asked: only devices of our hub get through the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(identity.ca_file)
    identity.show_in(context)
    return context


def asking_context(identity: Identity, device: str) -> ssl.SSLContext:
    """Return TLS for who asks: a connection, if it is made, leads to ``device`` of our hub."""
    context = _Verifying(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # for OpenSSL; `verify` below is stricter
    identity.show_in(context)
    ca_pem = identity.ca_file.read_bytes()
    context.verify = lambda certificate: check_device(certificate, ca_pem, device, datetime.now(UTC))
    return context


def name_in(certificate: dict[str, Any] | None) -> str:
    """Return the one common name in what `getpeercert` tells of a proved certificate, or an empty text."""
    subject = (certificate or {}).get("subject", ())
    names = [value for parts in subject for key, value in parts if key == COMMON_NAME]
    return str(names[0]) if len(names) == 1 else ""


def check_device(certificate: bytes, ca_pem: bytes, device: str, now: datetime) -> None:
    """Return if this (DER) is the certificate of ``device``, given by a CA in ``ca_pem`` and in force.

    Raises `NotThatNeighbourError`.
    """
    # Imported here: x509 costs memory that a daemon without neighbours need not carry.
    from cryptography import x509  # noqa: PLC0415
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID  # noqa: PLC0415

    try:
        found = x509.load_der_x509_certificate(certificate)
        for authority in x509.load_pem_x509_certificates(ca_pem):
            if found.issuer == authority.subject:
                found.verify_directly_issued_by(authority)
                break
        else:
            raise NotThatNeighbourError("its certificate is not of our hub")
        names = [name.value for name in found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        basic = found.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except InvalidSignature as error:
        raise NotThatNeighbourError("its certificate is not of our hub") from error
    except (ValueError, TypeError, x509.ExtensionNotFound) as error:
        raise NotThatNeighbourError("its certificate is not a device's") from error
    if basic.ca or ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
        raise NotThatNeighbourError("its certificate is not a device's")
    if names != [device]:
        raise NotThatNeighbourError("its certificate is another device's")
    if not found.not_valid_before_utc <= now <= found.not_valid_after_utc:
        raise NotThatNeighbourError("its certificate is not in force; are both clocks right?")
