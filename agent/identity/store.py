"""The identity on disk: `device.json` (public), `key.pem` (0600), `cert.pem`, `hub-ca.pem`."""

import logging
import ssl
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from agent.clock import EPOCH
from agent.durable import write_durably
from agent.errors import NotEnrolledError
from agent.identity.validity import begins_at
from contract.encoding import decode, encode

log = logging.getLogger(__name__)


class DeviceFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the device knows of itself and its hub; ``desired_keys``: Ed25519 keys in hex by id."""

    device: str
    workspace: str
    hub: str
    mqtt_host: str
    mqtt_port: int
    desired_keys: dict[str, str]


@dataclass(frozen=True)
class Identity:
    """An enrolled device's identity in ``folder``."""

    folder: Path
    facts: DeviceFacts

    @property
    def key_file(self) -> Path:
        """Private key, PEM, readable by the owner alone."""
        return self.folder / "key.pem"

    @property
    def certificate_file(self) -> Path:
        """Certificate, PEM."""
        return self.folder / "cert.pem"

    @property
    def ca_file(self) -> Path:
        """The hub's CA certificate, PEM: the only one this device trusts."""
        return self.folder / "hub-ca.pem"

    @property
    def begins_at(self) -> datetime:
        """From when the certificate holds, in UTC; where it does not say, 1970."""
        try:
            return begins_at(self.certificate_file.read_text())
        except (OSError, ValueError) as error:
            log.warning("the certificate does not say from when it holds: %s", error)
            return EPOCH

    def tls_context(self) -> ssl.SSLContext:
        """TLS towards the hub: it must show a certificate of its CA; we show ours."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate_file, self.key_file)
        return context


def load(folder: Path) -> Identity:
    """Read the identity; raises `NotEnrolledError` where there is none."""
    try:
        data = (folder / "device.json").read_bytes()
    except FileNotFoundError as error:
        raise NotEnrolledError(
            "this device is not enrolled",
            where=str(folder),
            fix="Run `headland-agent enroll --invitation FILE`.",
        ) from error
    return Identity(folder, decode(data, DeviceFacts, what="device.json"))


def save(folder: Path, facts: DeviceFacts, *, key_pem: bytes, certificate_pem: str, ca_pem: str) -> Identity:
    """Write an identity; `device.json` comes last, so a half-written identity is none."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_durably(folder / "key.pem", key_pem, mode=0o600)
    write_durably(folder / "cert.pem", certificate_pem.encode())
    write_durably(folder / "hub-ca.pem", ca_pem.encode())
    write_durably(folder / "device.json", encode(facts))
    return Identity(folder, facts)
