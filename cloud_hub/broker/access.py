"""Who a connection is, and what that one may do. Pure: no clock, no I/O."""

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import NameOID

from cloud_hub.broker.claims import AuthRequest, Grant
from cloud_hub.broker.settings import DEVICES_ACCOUNT
from cloud_hub.pki.authority import serial_of
from contract import topics
from contract.ids import DEVICE_ID


@dataclass(frozen=True)
class Identity:
    """A device as its verified certificate names it; ``serial`` as `cloud_hub.pki.serial_of` writes it."""

    device: str
    serial: str
    not_after: datetime


@dataclass(frozen=True)
class Refusal:
    """Why a connection stays out, in words for the server's log: no input is repeated."""

    reason: str


def identify(request: AuthRequest) -> Identity | Refusal:
    """Return the device that connects, or why there is none.

    The server has checked the certificate's chain, dates and purpose before it asks. What is left:
    that it is an MQTT connection, and that certificate and client id name the same device (else
    one device could take over another's session).
    """
    if request.client_type != "mqtt":
        return Refusal("only devices over MQTT, and the hub by its keys")
    if request.certificate_pem is None:
        return Refusal("no verified client certificate")
    try:
        certificate = x509.load_pem_x509_certificate(request.certificate_pem.encode())
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError:
        return Refusal("the client certificate cannot be read")
    if len(names) != 1 or not isinstance(names[0].value, str) or not DEVICE_ID.fullmatch(names[0].value):
        return Refusal("the client certificate does not name a device")
    if request.mqtt_id != names[0].value:
        return Refusal("the MQTT client id is not the certificate's device")
    return Identity(names[0].value, serial_of(certificate), certificate.not_valid_after_utc)


def grant_for(identity: Identity) -> Grant:
    """Return what a known device may do: its own topics, until its certificate ends."""
    return Grant(
        name=identity.device,
        account=DEVICES_ACCOUNT,
        publish=[topics.to_subject(topic) for topic in topics.device_writes(identity.device)],
        subscribe=[topics.to_subject(topic) for topic in topics.device_reads(identity.device)],
        expires_at=int(identity.not_after.timestamp()),
    )
