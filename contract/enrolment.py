"""Enrolment and renewal over HTTPS, EST-style (RFC 7030, section 4.2, with JSON bodies)."""

import msgspec

ENROL_PATH = "/.well-known/est/simpleenroll"
RENEW_PATH = "/.well-known/est/simplereenroll"
CA_PATH = "/.well-known/est/cacerts"
CERTIFICATE_PATH = "/api/v1/device/certificate"
"""``GET``, with a certificate, answers a `CertificateHeld`: that it is the one that counts from now on."""


class Invitation(msgspec.Struct, frozen=True, kw_only=True):
    """The file that an owner carries to a device: where the hub is, how to know it, a token.

    ``ca_sha256`` is the hex SHA-256 of the hub CA certificate's DER bytes.
    """

    hub: str
    ca_sha256: str
    device: str
    token: str


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """The file that many devices may have: with its token one may ask, and waits until it is accepted."""

    hub: str
    ca_sha256: str
    claim: str
    token: str


class EnrolRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The token and a PEM certificate request; every name inside the request is ignored.

    With a claim's token ``device`` is the name that is asked for; an invitation says it itself.
    """

    token: str
    csr_pem: str
    device: str = ""


class EnrolPending(msgspec.Struct, frozen=True, kw_only=True):
    """What is answered (202) until somebody has decided; the same request is sent again after a while.

    ``key_sha256``, of the public key's DER (SubjectPublicKeyInfo), is what people compare.
    """

    device: str
    key_sha256: str
    retry_after_s: int


class RenewRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A PEM certificate request of a device that shows the certificate which it has; answered like enrolment.

    The new certificate counts from its first use, and then the old one no longer does.
    """

    csr_pem: str


class CertificateHeld(msgspec.Struct, frozen=True, kw_only=True):
    """Whose certificate was shown."""

    device: str


class EnrolAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Who the device is now, and whom it shall believe.

    ``desired_keys`` maps key ids to raw Ed25519 public keys in hex.
    """

    device: str
    workspace: str
    certificate_pem: str
    ca_pem: str
    desired_keys: dict[str, str]
    mqtt_host: str
    mqtt_port: int
