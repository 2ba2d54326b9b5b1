"""Enrolment over HTTPS, EST-style (RFC 7030, section 4.2, with JSON bodies)."""

import msgspec

ENROL_PATH = "/.well-known/est/simpleenroll"
CA_PATH = "/.well-known/est/cacerts"


class Invitation(msgspec.Struct, frozen=True, kw_only=True):
    """The file that an owner carries to a device: where the hub is, how to know it, a token.

    ``ca_sha256`` is the hex SHA-256 of the hub CA certificate's DER bytes.
    """

    hub: str
    ca_sha256: str
    device: str
    token: str


class EnrolRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The token and a PEM certificate request; every name inside the request is ignored."""

    token: str
    csr_pem: str


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
