"""The identity on disk: `device.json` (public), `key.pem` (0600), `cert.pem`, `hub-ca.pem`.

A renewed key and certificate lie in a slot, `slots/1` or `slots/2`, and the link `slot` says which one
counts. The other one holds what counted before, or what has just come: see `agent.identity.renewal`.
"""

import logging
import ssl
import threading
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final
from weakref import WeakSet

import msgspec

from agent.clock import EPOCH
from agent.durable import sync_folder, write_durably
from agent.errors import NotEnrolledError
from agent.identity.validity import Validity, validity
from contract.encoding import decode, encode

log = logging.getLogger(__name__)

SLOTS: Final = "slots"
SLOT: Final = "slot"


class DeviceFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the device knows of itself and its hub; ``desired_keys``: Ed25519 keys in hex by id."""

    device: str
    workspace: str
    hub: str
    mqtt_host: str
    mqtt_port: int
    desired_keys: dict[str, str]


@dataclass(frozen=True)
class Pair:
    """A private key and its certificate in one folder; `cert.pem` comes last: a half-written one is none."""

    folder: Path

    @property
    def key_file(self) -> Path:
        """Private key, PEM, readable by the owner alone."""
        return self.folder / "key.pem"

    @property
    def certificate_file(self) -> Path:
        """Certificate, PEM."""
        return self.folder / "cert.pem"

    def show(self, context: ssl.SSLContext) -> None:
        """Have ``context`` show it on each new connection; raises `OSError`, ssl.SSLError among them."""
        context.load_cert_chain(self.certificate_file, self.key_file)

    def fits(self) -> bool:
        """Are they of one another, and whole? Raises `OSError` where that cannot be read."""
        try:
            self.show(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        except ssl.SSLError:
            return False
        return True

    def validity(self) -> Validity | None:
        """Return from when to when the certificate holds; None where there is none that can be read."""
        try:
            return validity(self.certificate_file.read_text())
        except (OSError, ValueError):
            return None


@dataclass(frozen=True)
class Identity:
    """An enrolled device's identity in ``folder``."""

    folder: Path
    facts: DeviceFacts
    _shown_in: "WeakSet[ssl.SSLContext]" = field(default_factory=WeakSet, repr=False, compare=False)
    _showing: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def held(self) -> Pair:
        """The key and the certificate that count."""
        try:
            return Pair(self.folder / SLOTS / (self.folder / SLOT).readlink().name)
        except OSError:  # never renewed
            return self.enrolled

    @property
    def others(self) -> list[Pair]:
        """Complete pairs that do not count: what came last, what counted before, that of the enrolment."""
        found = [pair for pair in (self.other, self.enrolled) if pair != self.held]
        return [pair for pair in found if pair.validity() is not None]

    @property
    def enrolled(self) -> Pair:
        """Those of the enrolment: the key stays, for what it seals."""
        return Pair(self.folder)

    @property
    def other(self) -> Pair:
        """The slot beside, for what comes next."""
        held = self.held.folder.name
        return Pair(self.folder / SLOTS / ("2" if held == "1" else "1"))

    def show_in(self, context: ssl.SSLContext) -> None:
        """Have each new connection of ``context`` show the pair that counts by then."""
        with self._showing:
            self.held.show(context)
            self._shown_in.add(context)

    def hold(self, pair: Pair) -> None:
        """From now on the pair of a slot counts, durable when this returns; raises `OSError`."""
        link, beside = self.folder / SLOT, self.folder / f".{SLOT}.new"
        if pair == self.enrolled:
            link.unlink(missing_ok=True)
        else:
            beside.unlink(missing_ok=True)
            beside.symlink_to(pair.folder.relative_to(self.folder))
            beside.replace(link)
        sync_folder(self.folder)
        with self._showing:
            for context in self._shown_in:
                pair.show(context)

    @property
    def key_file(self) -> Path:
        """Private key, PEM, readable by the owner alone."""
        return self.held.key_file

    @property
    def certificate_file(self) -> Path:
        """Certificate, PEM."""
        return self.held.certificate_file

    @property
    def ca_file(self) -> Path:
        """The hub's CA certificate, PEM: the only one this device trusts."""
        return self.folder / "hub-ca.pem"

    @property
    def begins_at(self) -> datetime:
        """From when the certificate holds, in UTC; where it does not say, 1970."""
        found = self.held.validity()
        if found is None:
            log.warning("the certificate does not say from when it holds")
            return EPOCH
        return found.begins

    def tls_context(self, pair: Pair | None = None) -> ssl.SSLContext:
        """TLS towards the hub: it must show a certificate of its CA; we show ours, or that of ``pair``."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if pair is None:
            self.show_in(context)
        else:
            pair.show(context)
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
