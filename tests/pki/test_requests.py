"""Abuse of certificate requests: what is asked for in them is never granted."""

import base64
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cloud_hub.pki.authority import Authority, create_authority
from cloud_hub.pki.errors import CsrRefusedError
from cloud_hub.pki.requests import requested_key
from contract.ids import InvalidNameError

NOW = datetime(2030, 1, 1, tzinfo=UTC)
Key = (
    ec.EllipticCurvePrivateKey
    | rsa.RSAPrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | dsa.DSAPrivateKey
)


def csr_of(key: Key) -> bytes:
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else hashes.SHA256()
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return request.sign(key, digest).public_bytes(serialization.Encoding.PEM)


def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def test_requested_names_and_extensions_are_ignored() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(True, True, True, True, True, True, True, False, False)
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(
            x509.Name(
                [
                    x509.NameAttribute(NameOID.COMMON_NAME, "victim"),
                    x509.NameAttribute(NameOID.ORGANIZATION_NAME, "admins"),
                ]
            )
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hub.example.org")]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    authority = Authority(*create_authority("test", now=NOW))
    cert = x509.load_pem_x509_certificate(authority.issue_device(csr, "cam-1", NOW).certificate_pem)
    assert cert.public_key() == key.public_key()
    assert cert.subject.rfc4514_string() == "CN=cam-1"
    assert not cert.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not cert.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    assert list(cert.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.CLIENT_AUTH
    ]
    with pytest.raises(x509.ExtensionNotFound):
        cert.extensions.get_extension_for_class(x509.SubjectAlternativeName)


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
        rsa_key(2048),
    ],
    ids=["p256", "p384", "ed25519", "rsa2048"],
)
def test_strong_keys_are_taken(key: Key) -> None:
    assert requested_key(csr_of(key)) == key.public_key()


@pytest.mark.parametrize(
    "key",
    [
        rsa_key(1024),
        rsa_key(2047),
        rsa_key(4104),
        ec.generate_private_key(ec.SECP256K1()),
        ec.generate_private_key(ec.SECP521R1()),
        ed448.Ed448PrivateKey.generate(),
        dsa.generate_private_key(2048),
    ],
    ids=["rsa1024", "rsa2047", "rsa4104", "secp256k1", "p521", "ed448", "dsa"],
)
def test_other_keys_are_refused(key: Key) -> None:
    with pytest.raises(CsrRefusedError) as caught:
        requested_key(csr_of(key))
    assert caught.value.fix


def test_request_signed_by_another_key_is_refused(device_csr: bytes) -> None:
    der = bytearray(base64.b64decode(b"".join(device_csr.splitlines()[1:-1])))
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    own = x509.load_pem_x509_csr(device_csr).public_key()
    swapped = bytes(der).replace(_point(own), _point(other))
    body = base64.encodebytes(swapped)
    pem = b"-----BEGIN CERTIFICATE REQUEST-----\n" + body + b"-----END CERTIFICATE REQUEST-----\n"
    assert x509.load_pem_x509_csr(pem).public_key() == other
    with pytest.raises(CsrRefusedError, match="not signed"):
        requested_key(pem)


def test_garbage_is_refused(device_csr: bytes) -> None:
    cert = Authority(*create_authority("test")).ca_pem
    lines = device_csr.splitlines()
    broken = b"\n".join([lines[0], b"AAAA", lines[-1]])
    for text in (b"", b"\x00\xff" * 40, cert, broken, device_csr[:-60], b"A" * 20_000, "ü-----BEGIN"):
        with pytest.raises(CsrRefusedError):
            requested_key(text)


def test_an_error_never_repeats_the_request() -> None:
    with pytest.raises(CsrRefusedError) as caught:
        requested_key("my-secret-text")
    assert "my-secret-text" not in str(caught.value)


@pytest.mark.parametrize("device", ["", "A", "a.b", "a/b", "a\nb", "cam 1", "*", "a" * 64])
def test_bad_device_id_gets_no_certificate(device: str, device_csr: bytes) -> None:
    with pytest.raises(InvalidNameError):
        Authority(*create_authority("test")).issue_device(device_csr, device, NOW)


def _point(key: object) -> bytes:
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
