"""The hub's certificate authorities: self-signed roots, one of its server and devices, one between hubs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cloud_hub.pki import profiles
from cloud_hub.pki.durable_file import PUBLIC_MODE, read_private, write_durably
from cloud_hub.pki.errors import KeyFileError, KeyFileExistsError
from cloud_hub.pki.requests import requested_key
from contract.ids import check_device_id

CA: Final = "ca"
"""The stem of the files of the authority that devices trust; `cluster-ca` is between hubs alone."""
CLUSTER_CA: Final = "cluster-ca"
CA_LIFETIME: Final = timedelta(days=3650)
SERVER_LIFETIME: Final = timedelta(days=397)
DEVICE_LIFETIME: Final = timedelta(days=30)


@dataclass(frozen=True)
class DeviceCertificate:
    """A device's new certificate; ``serial`` as `serial_of` writes it, ``not_after`` in UTC."""

    certificate_pem: bytes
    serial: str
    not_after: datetime


def serial_of(certificate: x509.Certificate) -> str:
    """Return the serial number the way the hub writes and compares it: lower-case hex, no padding."""
    return f"{certificate.serial_number:x}"


def create_authority(
    name: str, *, now: datetime | None = None
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Return a new self-signed authority of 10 years and its ECDSA P-256 key.

    ``name`` is its common name, for people only: 1 to 64 characters.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    since = now or datetime.now(UTC)
    subject = profiles.common_name(name)
    builder = profiles.blank(subject, subject, key.public_key(), since).not_valid_after(since + CA_LIFETIME)
    return profiles.as_authority(builder).sign(key, hashes.SHA256()), key


class Authority:
    """Signs the certificates of the hub's server and of devices."""

    def __init__(self, cert: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.cert = cert
        self._key = key

    @classmethod
    def create(
        cls, folder: Path, *, stem: str = CA, name: str = "Headland hub CA", now: datetime | None = None
    ) -> Self:
        """Make a new authority and keep it in ``folder`` (``{stem}.pem`` 0644, ``{stem}-key.pem`` 0600).

        Raises `KeyFileExistsError` where one is there: every device trusts it, so it is never
        written over. Raises `KeyFileError` where the files cannot be written.
        """
        if (folder / f"{stem}.pem").exists():
            raise KeyFileExistsError(
                "there is an authority already",
                where=str(folder / f"{stem}.pem"),
                fix="Load it; to start anew, move the folder away and enrol every device again.",
            )
        cert, key = create_authority(name, now=now)
        # The certificate comes last: with it the pair is complete, a lone key is a creation cut short.
        write_durably(folder / f"{stem}-key.pem", private_key_pem(key))
        write_durably(folder / f"{stem}.pem", _pem(cert), mode=PUBLIC_MODE)
        return cls(cert, key)

    @classmethod
    def load(cls, folder: Path, *, stem: str = CA) -> Self:
        """Read the authority kept in ``folder``.

        Raises `KeyFileError` where a file is missing or no PEM, the key is open to other users,
        or key and certificate do not belong together.
        """
        key_pem = read_private(folder / f"{stem}-key.pem")
        try:
            cert = x509.load_pem_x509_certificate((folder / f"{stem}.pem").read_bytes())
            key = serialization.load_pem_private_key(key_pem, password=None)
        except (OSError, ValueError, TypeError) as error:
            raise _broken(folder, stem) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != cert.public_key():
            raise _broken(folder, stem)
        return cls(cert, key)

    @property
    def ca_pem(self) -> bytes:
        """The authority's own certificate in PEM."""
        return _pem(self.cert)

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 of the authority's certificate in DER: what an invitation carries."""
        return _fingerprint(self.cert)

    def issue_server(self, hosts: Sequence[str], *, now: datetime | None = None) -> tuple[bytes, bytes]:
        """Return a new key and a server certificate for DNS names and IP addresses, both PEM.

        Valid for 397 days, the longest that common TLS clients take. Raises `InvalidHostError`.
        """
        names = profiles.alternative_names(hosts)
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._blank("Headland hub", key.public_key(), now or datetime.now(UTC), SERVER_LIFETIME)
        cert = profiles.as_server(builder, self.cert, names).sign(self._key, hashes.SHA256())
        return private_key_pem(key), _pem(cert)

    def issue_member(self, host: str, *, now: datetime | None = None) -> tuple[bytes, bytes]:
        """Return a new key and a certificate for a hub that others reach at ``host``, both PEM.

        It is a server's and a client's: each hub of a cluster is both to the others. Raises
        `InvalidHostError`.
        """
        names = profiles.alternative_names([host])
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._blank("Headland hub", key.public_key(), now or datetime.now(UTC), SERVER_LIFETIME)
        cert = profiles.as_member(builder, self.cert, names).sign(self._key, hashes.SHA256())
        return private_key_pem(key), _pem(cert)

    def issue_device(self, csr_pem: bytes | str, device_id: str, now: datetime) -> DeviceCertificate:
        """Return a certificate for the key in ``csr_pem`` with ``device_id`` as its only name.

        Valid for 30 days from ``now`` (with a time zone). Raises `CsrRefusedError`, and
        `InvalidNameError` where ``device_id`` may not be one.
        """
        check_device_id(device_id)
        builder = self._blank(device_id, requested_key(csr_pem), now, DEVICE_LIFETIME)
        cert = profiles.as_device(builder, self.cert).sign(self._key, hashes.SHA256())
        return DeviceCertificate(_pem(cert), serial_of(cert), cert.not_valid_after_utc)

    def _blank(
        self, name: str, key: profiles.PublicKey, now: datetime, lifetime: timedelta
    ) -> x509.CertificateBuilder:
        # A certificate that outlives its issuer would fail on a date that nobody reads in it.
        until = min(now + lifetime, self.cert.not_valid_after_utc)
        return profiles.blank(profiles.common_name(name), self.cert.subject, key, now).not_valid_after(until)


def fingerprint_of(ca_pem: bytes) -> str:
    """Return the `Authority.fingerprint` of a certificate in PEM; raises `ValueError`."""
    return _fingerprint(x509.load_pem_x509_certificate(ca_pem))


def _fingerprint(cert: x509.Certificate) -> str:
    return cert.fingerprint(hashes.SHA256()).hex()


def private_key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a key as unencrypted PKCS #8 PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _pem(cert: x509.Certificate) -> bytes:
    return cert.public_bytes(serialization.Encoding.PEM)


def _broken(folder: Path, stem: str) -> KeyFileError:
    return KeyFileError(
        f"{stem}.pem and {stem}-key.pem are not a certificate and its EC key",
        where=str(folder),
        fix="Restore both from the same backup of the hub.",
    )
