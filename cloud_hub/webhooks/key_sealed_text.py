"""A `SealedText` under one key of the hub. To be replaced by the vault, which can change its keys."""

import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cloud_hub.pki.durable_file import PRIVATE_MODE, write_durably
from cloud_hub.webhooks.errors import SealBrokenError

KEY_BYTES = 32
NONCE_BYTES = 12


class KeySealedText:
    """AES-256-GCM; the context is authenticated with the text."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    @classmethod
    def of_file(cls, path: Path) -> "KeySealedText":
        """Take the key from a file, which is made where there is none."""
        if not path.exists():
            write_durably(path, secrets.token_bytes(KEY_BYTES), mode=PRIVATE_MODE)
        return cls(path.read_bytes())

    def seal(self, text: str, context: str) -> bytes:
        """See `SealedText.seal`."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, text.encode(), context.encode())

    def open(self, sealed: bytes, context: str) -> str:
        """See `SealedText.open`; raises `SealBrokenError`."""
        try:
            plain = self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context.encode())
        except (InvalidTag, ValueError) as error:
            raise SealBrokenError(
                "the secret of a webhook cannot be opened", fix="Delete the webhook and create it again."
            ) from error
        return plain.decode()
