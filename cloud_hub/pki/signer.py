"""The key that signs desired documents: Ed25519 (RFC 8032) in DSSE envelopes."""

import hashlib
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cloud_hub.pki.durable_file import read_private, write_durably
from cloud_hub.pki.errors import KeyFileError, KeyFileExistsError
from contract import dsse


class DesiredSigner:
    """Signs desired documents with a key that never leaves the hub.

    ``keyid`` is the hex SHA-256 of the raw public key, in full: an id cannot be made to collide.
    """

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        raw = key.public_key().public_bytes_raw()
        self.keyid = hashlib.sha256(raw).hexdigest()
        self._public_hex = raw.hex()

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make a new key in the file ``path`` (PKCS #8 PEM, 0600).

        Raises `KeyFileExistsError` and `KeyFileError`.
        """
        if path.exists():
            raise KeyFileExistsError(
                "there is a signing key already",
                where=str(path),
                fix="Load it; devices refuse what a key they do not know has signed.",
            )
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_durably(path, pem)
        return cls(key)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the key in ``path``.

        Raises `KeyFileError` where it is missing, open to other users or no such key.
        """
        pem = read_private(path)
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError) as error:
            raise _broken(path) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise _broken(path)
        return cls(key)

    def public_keys(self) -> dict[str, str]:
        """Raw public keys in hex by key id: what a device is told when it enrols."""
        return {self.keyid: self._public_hex}

    def sign(self, payload: bytes) -> dsse.Envelope:
        """Return ``payload`` (a desired document's bytes) in a signed envelope."""
        signature = self._key.sign(dsse.pre_authentication_encoding(dsse.DESIRED_TYPE, payload))
        return dsse.wrap(payload, dsse.DESIRED_TYPE, {self.keyid: signature})


def _broken(path: Path) -> KeyFileError:
    return KeyFileError(
        "not an Ed25519 private key in PEM", where=str(path), fix="Restore it from the hub's backup."
    )
