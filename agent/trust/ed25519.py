"""Ed25519 (RFC 8032) by the `cryptography` package."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def verify(public_key: bytes, signature: bytes, signed: bytes) -> bool:
    """Is ``signature`` one of ``public_key`` (32 raw bytes) over ``signed``?"""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True
