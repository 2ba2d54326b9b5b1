"""Content addresses: ``sha256:`` and 64 hex digits (OCI image specification, "Digests")."""

import hashlib

from contract.errors import HeadlandError
from contract.ids import DIGEST


class InvalidDigestError(HeadlandError):
    """A text that should be a digest is not one."""

    code = "invalid-digest"


def sha256(data: bytes) -> str:
    """Return the digest of ``data``."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def check_digest(value: str, *, where: str) -> str:
    """Return ``value`` if it is a digest, else raise `InvalidDigestError`."""
    if not DIGEST.fullmatch(value):
        raise InvalidDigestError("not a digest", where=where, fix="Write sha256: and 64 hex digits.")
    return value


def hex_of(digest: str) -> str:
    """Return the hex part of a digest, safe as a file name."""
    return check_digest(digest, where="digest").removeprefix("sha256:")
