"""The authority's files, and what its certificates say."""

import hashlib
import ipaddress
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from cloud_hub.pki.authority import Authority, create_authority, serial_of
from cloud_hub.pki.errors import InvalidHostError, KeyFileError, KeyFileExistsError

NOW = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)


def test_created_authority_loads_again_with_tight_modes(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        made = Authority.create(tmp_path)
    finally:
        os.umask(previous)
    loaded = Authority.load(tmp_path)
    assert loaded.fingerprint == made.fingerprint
    assert stat.S_IMODE((tmp_path / "ca-key.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "ca.pem").stat().st_mode) == 0o644
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ca-key.pem", "ca.pem"]


def test_fingerprint_is_sha256_of_der(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path)
    der = authority.cert.public_bytes(serialization.Encoding.DER)
    assert authority.fingerprint == hashlib.sha256(der).hexdigest()


def test_an_authority_is_never_written_over(tmp_path: Path) -> None:
    before = Authority.create(tmp_path).fingerprint
    with pytest.raises(KeyFileExistsError):
        Authority.create(tmp_path)
    assert Authority.load(tmp_path).fingerprint == before


def test_creation_cut_short_before_the_certificate_is_done_again(tmp_path: Path) -> None:
    (tmp_path / "ca-key.pem").write_bytes(b"half")
    Authority.create(tmp_path)
    Authority.load(tmp_path)


def test_key_open_to_others_is_refused(tmp_path: Path) -> None:
    Authority.create(tmp_path)
    (tmp_path / "ca-key.pem").chmod(0o640)
    with pytest.raises(KeyFileError, match="0640"):
        Authority.load(tmp_path)


def test_key_of_another_authority_is_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        Authority.create(tmp_path / name)
    (tmp_path / "one" / "ca-key.pem").write_bytes((tmp_path / "two" / "ca-key.pem").read_bytes())
    with pytest.raises(KeyFileError):
        Authority.load(tmp_path / "one")


@pytest.mark.parametrize("missing", ["ca.pem", "ca-key.pem"])
def test_missing_file_is_named_by_folder(tmp_path: Path, missing: str) -> None:
    Authority.create(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(KeyFileError) as caught:
        Authority.load(tmp_path)
    assert str(tmp_path) in caught.value.where


def test_authority_certificate_signs_end_entities_only() -> None:
    cert, key = create_authority("test", now=NOW)
    constraints = cert.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = cert.extensions.get_extension_for_class(x509.KeyUsage)
    assert constraints.critical
    assert constraints.value.ca
    assert constraints.value.path_length == 0
    assert usage.critical
    assert usage.value.key_cert_sign
    assert usage.value.crl_sign
    assert not usage.value.digital_signature
    assert isinstance(key.curve, ec.SECP256R1)
    cert.verify_directly_issued_by(cert)


def test_server_certificate() -> None:
    authority = Authority(*create_authority("test", now=NOW))
    _, pem = authority.issue_server(["Hub.example.org", "127.0.0.1", "::1", "127.0.0.1"], now=NOW)
    cert = x509.load_pem_x509_certificate(pem)
    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["hub.example.org"]
    assert names.get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address("127.0.0.1"),
        ipaddress.ip_address("::1"),
    ]
    assert _purposes(cert) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert cert.not_valid_after_utc == NOW + timedelta(days=397)
    _assert_end_entity(cert, authority.cert)


@pytest.mark.parametrize("host", ["", "*.example.org", "https://hub", "hub:8883", "-a.b", "a..b", "a" * 64])
def test_bad_host_is_refused(host: str) -> None:
    authority = Authority(*create_authority("test"))
    with pytest.raises(InvalidHostError):
        authority.issue_server([host])


def test_no_host_is_refused() -> None:
    with pytest.raises(InvalidHostError):
        Authority(*create_authority("test")).issue_server([])


def test_device_certificate_is_capped_by_the_authority(device_csr: bytes) -> None:
    authority = Authority(*create_authority("test", now=NOW - timedelta(days=3640)))
    issued = authority.issue_device(device_csr, "cam-1", NOW)
    assert issued.not_after == authority.cert.not_valid_after_utc == NOW + timedelta(days=10)


def test_device_certificate(device_csr: bytes) -> None:
    authority = Authority(*create_authority("test", now=NOW))
    issued = authority.issue_device(device_csr, "cam-1", NOW)
    cert = x509.load_pem_x509_certificate(issued.certificate_pem)
    assert cert.subject.rfc4514_string() == "CN=cam-1"
    assert _purposes(cert) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert issued.serial == serial_of(cert) == format(cert.serial_number, "x")
    assert issued.not_after == cert.not_valid_after_utc == NOW + timedelta(days=30)
    assert cert.not_valid_before_utc < NOW
    _assert_end_entity(cert, authority.cert)


def test_serials_are_random(device_csr: bytes) -> None:
    authority = Authority(*create_authority("test", now=NOW))
    serials = {authority.issue_device(device_csr, "cam-1", NOW).serial for _ in range(50)}
    assert len(serials) == 50
    assert min(int(serial, 16).bit_length() for serial in serials) > 100


def _purposes(cert: x509.Certificate) -> list[x509.ObjectIdentifier]:
    return list(cert.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def _assert_end_entity(cert: x509.Certificate, ca: x509.Certificate) -> None:
    constraints = cert.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = cert.extensions.get_extension_for_class(x509.KeyUsage)
    authority_id = cert.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    own_id = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert constraints.critical
    assert not constraints.value.ca
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    assert authority_id.key_identifier == own_id.digest
    cert.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    cert.verify_directly_issued_by(ca)
