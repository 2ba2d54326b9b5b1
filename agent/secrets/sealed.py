"""Values at rest: AES-256-GCM under a key that is derived from the device's private key.

So a start without a network needs no hub, and a copy of these files alone opens nothing. Who has the whole
state folder has the private key too, and with it all that the device may read: see docs/secrets.md.
"""

import base64
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.durable import sync_folder, write_durably
from contract.encoding import canonical
from contract.secrets import SecretRef

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
PURPOSE: Final = b"headland/device-secrets/1"


@dataclass(frozen=True)
class SealedSecrets:
    """The folder of sealed values of one device; each is bound to its device, workspace, name and version."""

    folder: Path
    key_file: Path
    device: str
    workspace: str

    def put(self, ref: SecretRef, value: bytes) -> None:
        """Seal a value, durable when this returns; raises `OSError`."""
        # Imported here, as below: a device without secrets need not carry it in memory.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        self.folder.mkdir(exist_ok=True, mode=0o700)
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + AESGCM(self._key()).encrypt(nonce, value, self._bound(ref))
        write_durably(self._path(ref), sealed, mode=0o600)

    def get(self, ref: SecretRef) -> bytes | None:
        """Return a value; none where it is not there, is damaged, or was sealed under another key."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        try:
            sealed = self._path(ref).read_bytes()
            return AESGCM(self._key()).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], self._bound(ref))
        except (OSError, InvalidTag, ValueError):
            return None

    def has(self, ref: SecretRef) -> bool:
        """Is there a file of it? Whether it opens only `get` can tell."""
        try:
            return self._path(ref).exists()
        except OSError:
            return False

    def keep(self, refs: Iterable[SecretRef]) -> list[str]:
        """Delete all others, and what a killed agent left half written of them; return what went, by name."""
        names = {self._path(ref).name for ref in refs}
        kept = names | {f".{name}.new" for name in names}  # on its way here, maybe
        gone = [path for path in self._files() if path.name not in kept]
        for path in gone:
            path.unlink(missing_ok=True)
        if gone:
            sync_folder(self.folder)
        return sorted(path.name for path in gone)

    def _files(self) -> list[Path]:
        try:
            return list(self.folder.iterdir())
        except FileNotFoundError:
            return []

    def _path(self, ref: SecretRef) -> Path:
        return self.folder / f"{ref.name}.{ref.version}"

    def _bound(self, ref: SecretRef) -> bytes:
        return canonical([PURPOSE.decode(), self.device, self.workspace, ref.name, ref.version])

    def _key(self) -> bytes:
        """Derive the key (RFC 5869) anew each time: it is in memory only while it is used."""
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

        private = pem_body(self.key_file.read_text())
        return HKDF(SHA256(), KEY_BYTES, salt=None, info=PURPOSE).derive(private)


def pem_body(text: str) -> bytes:
    """Return the bytes (DER) that a PEM file with one block holds; raises `ValueError`."""
    body = text.partition("-----\n")[2].partition("-----END")[0]
    found = base64.b64decode("".join(body.split()), validate=True)
    if not found:
        raise ValueError("no PEM")
    return found
