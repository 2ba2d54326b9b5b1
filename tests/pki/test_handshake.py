"""Real handshakes: OpenSSL, through `ssl` and the `openssl` command, judges the certificates."""

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from cloud_hub.pki.authority import Authority, private_key_pem

HOST = "hub.example.org"


@dataclass(frozen=True)
class Party:
    """Files of one end: certificate, key, and the authority it trusts."""

    cert: Path
    key: Path
    ca: Path


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    (tmp_path / "ca").mkdir()
    return Authority.create(tmp_path / "ca")


@pytest.fixture
def server(tmp_path: Path, authority: Authority) -> Party:
    key_pem, cert_pem = authority.issue_server([HOST])
    return _party(tmp_path, "server", cert_pem, key_pem)


@pytest.fixture
def device(
    tmp_path: Path, authority: Authority, device_key: ec.EllipticCurvePrivateKey, device_csr: bytes
) -> Party:
    issued = authority.issue_device(device_csr, "cam-1", datetime.now(UTC))
    return _party(tmp_path, "device", issued.certificate_pem, private_key_pem(device_key))


def test_mutual_handshake_names_the_device(server: Party, device: Party) -> None:
    assert handshake(server, device, HOST) == "cam-1"


def test_server_is_not_believed_under_another_name(server: Party, device: Party) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, device, "other.example.org")


def test_device_certificate_cannot_pose_as_the_server(device: Party) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(device, device, "cam-1")


def test_server_certificate_cannot_pose_as_a_device(server: Party) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, server, HOST)


def test_expired_device_is_refused(
    tmp_path: Path,
    authority: Authority,
    server: Party,
    device_key: ec.EllipticCurvePrivateKey,
    device_csr: bytes,
) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=31)
    issued = authority.issue_device(device_csr, "cam-1", long_ago)
    expired = _party(tmp_path, "expired", issued.certificate_pem, private_key_pem(device_key))
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, expired, HOST)


def test_device_of_another_authority_is_refused(
    tmp_path: Path, server: Party, device_key: ec.EllipticCurvePrivateKey, device_csr: bytes
) -> None:
    (tmp_path / "foreign").mkdir()
    foreign = Authority.create(tmp_path / "foreign")
    issued = foreign.issue_device(device_csr, "cam-1", datetime.now(UTC))
    party = _party(tmp_path, "stranger", issued.certificate_pem, private_key_pem(device_key))
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, party, HOST)


@pytest.mark.system
def test_openssl_verifies_both_for_their_purpose_only(server: Party, device: Party) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command is not installed")
    verdicts = {
        (name, purpose): _openssl_verifies(party, purpose)
        for name, party in (("server", server), ("device", device))
        for purpose in ("sslserver", "sslclient")
    }
    assert verdicts == {
        ("server", "sslserver"): True,
        ("server", "sslclient"): False,
        ("device", "sslclient"): True,
        ("device", "sslserver"): False,
    }


def handshake(server: Party, client: Party, host: str) -> str:
    """Do a mutual TLS handshake in memory; return the client's common name as the server saw it."""
    at_server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(server.ca))
    at_server.verify_mode = ssl.CERT_REQUIRED
    at_server.load_cert_chain(server.cert, server.key)
    at_client = ssl.create_default_context(cafile=str(client.ca))
    at_client.load_cert_chain(client.cert, client.key)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        at_client.wrap_bio(down, up, server_hostname=host),
        at_server.wrap_bio(up, down, server_side=True),
    ]
    waiting = list(ends)
    for _ in range(20):
        for end in list(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                continue
        if not waiting:
            break
    assert not waiting
    peer = ends[1].getpeercert()
    assert peer is not None
    subject: dict[str, str] = dict(pair for names in peer["subject"] for pair in names)  # type: ignore[misc]  # typeshed's union is wider than what a certificate's subject can be
    return subject["commonName"]


def _party(folder: Path, name: str, cert_pem: bytes, key_pem: bytes) -> Party:
    party = Party(folder / f"{name}.pem", folder / f"{name}-key.pem", folder / "ca" / "ca.pem")
    party.cert.write_bytes(cert_pem)
    party.key.write_bytes(key_pem)
    return party


def _openssl_verifies(party: Party, purpose: str) -> bool:
    files = ["-CAfile", str(party.ca), str(party.cert)]
    command = ["openssl", "verify", "-x509_strict", "-purpose", purpose, *files]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
