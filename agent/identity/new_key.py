"""A new key of a device, and the certificate request for it.

The daemon has it made in a confined child (`confined`): what x509 needs in memory it need not carry.
"""

import hashlib
from pathlib import Path
from typing import Any

from agent.durable import write_durably


def make_key_and_request(given_pem: bytes | None = None) -> tuple[bytes, str]:
    """Return an ECDSA P-256 key (PKCS #8, PEM) and a request that names nobody (PEM).

    With ``given_pem``, a key that was made elsewhere, it is that one; raises `ValueError` for another kind.
    """
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    if given_pem is None:
        key = ec.generate_private_key(ec.SECP256R1())
    else:
        loaded = serialization.load_pem_private_key(given_pem, password=None)
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise ValueError("no EC key")
        key = loaded
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return key_pem, request.public_bytes(serialization.Encoding.PEM).decode()


def key_sha256(csr_pem: str) -> str:
    """Return the hex SHA-256 of a request's public key (DER, SubjectPublicKeyInfo): what people compare."""
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    key = x509.load_pem_x509_csr(csr_pem.encode()).public_key()
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def confined(request: dict[str, Any]) -> str:
    """Write a new key to `key.pem` in the folder ``folder``, durably, and return the request for it."""
    key_pem, csr_pem = make_key_and_request()
    write_durably(Path(request["folder"]) / "key.pem", key_pem, mode=0o600)
    return csr_pem
