"""Certificate requests of devices: what is taken from one, and what is refused."""

import hashlib

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from cloud_hub.pki.errors import CsrRefusedError

DevicePublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey

MAX_CSR_BYTES = 16 * 1024
MIN_RSA_BITS = 2048
# A larger key proves nothing more here and makes each handshake cost the broker milliseconds.
MAX_RSA_BITS = 4096
_FIX = "Make a new request with an EC P-256 key (the agent does)."


def requested_key(csr_pem: bytes | str) -> DevicePublicKey:
    """Return the public key of a PEM certificate request (PKCS #10, RFC 2986).

    The key is all that is taken: names and extensions in the request are never looked at. Raises
    `CsrRefusedError` where the text is no request, the request is not signed by its own key, or
    the key is none of EC P-256, EC P-384, Ed25519 and RSA of 2048 to 4096 bits.
    """
    data = csr_pem.encode("utf-8", "replace") if isinstance(csr_pem, str) else csr_pem
    if len(data) > MAX_CSR_BYTES:
        raise _refused(f"larger than {MAX_CSR_BYTES} bytes")
    try:
        csr = x509.load_pem_x509_csr(data)
        key = _allowed(csr.public_key())
        signed = csr.is_signature_valid
    except (ValueError, UnsupportedAlgorithm, TypeError) as error:
        raise _refused("not a PEM certificate request that can be read") from error
    if not signed:
        raise _refused("not signed by the key it carries")
    return key


def public_key(pem: str) -> DevicePublicKey:
    """Return a device's public key from PEM (SubjectPublicKeyInfo); raises `CsrRefusedError`."""
    try:
        key = serialization.load_pem_public_key(pem.encode("utf-8", "replace")[: MAX_CSR_BYTES + 1])
    except (ValueError, UnsupportedAlgorithm, TypeError) as error:
        raise _refused("not a PEM public key that can be read", "public_key_pem") from error
    return _allowed(key)


def key_sha256(key: DevicePublicKey) -> str:
    """Return the hex SHA-256 of a public key's DER (SubjectPublicKeyInfo): what people compare."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def _allowed(key: object) -> DevicePublicKey:
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    if isinstance(key, ec.EllipticCurvePublicKey):
        if isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
            return key
        raise _refused("an EC key on another curve than P-256 and P-384")
    if isinstance(key, rsa.RSAPublicKey):
        if MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            return key
        raise _refused(f"an RSA key outside {MIN_RSA_BITS} to {MAX_RSA_BITS} bits")
    raise _refused("a key that is neither EC, Ed25519 nor RSA")


def _refused(why: str, where: str = "csr_pem") -> CsrRefusedError:
    return CsrRefusedError(f"the request is refused: {why}", where=where, fix=_FIX)
