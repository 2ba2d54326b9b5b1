"""Private files in one, sealed with a passphrase: scrypt (RFC 7914) and AES-256-GCM."""

import io
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from cloud_hub.backup.errors import BackupError, RestoreError

MAGIC = b"headland-keys-1\n"
SALT_BYTES, NONCE_BYTES = 16, 12
SHORTEST = 12


def seal(private: Path, passphrase: str) -> bytes:
    """Return the files of the private folder, sealed; raises `BackupError` for a short passphrase."""
    return seal_files(
        {path.name: path.read_bytes() for path in private.iterdir() if path.is_file()}, passphrase
    )


def seal_files(files: Mapping[str, bytes], passphrase: str) -> bytes:
    """Return files by name, sealed; raises `BackupError` for a short passphrase."""
    if len(passphrase) < SHORTEST:
        raise BackupError(
            f"a passphrase has at least {SHORTEST} characters", where="passphrase", fix="Choose a longer one."
        )
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size = len(files[name])
            archive.addfile(entry, io.BytesIO(files[name]))
    salt, nonce = os.urandom(SALT_BYTES), os.urandom(NONCE_BYTES)
    return MAGIC + salt + nonce + AESGCM(_key(passphrase, salt)).encrypt(nonce, buffer.getvalue(), MAGIC)


def unseal(data: bytes, passphrase: str, private: Path) -> None:
    """Write the files into an empty folder with mode 0600; raises `RestoreError`."""
    write_files(unseal_files(data, passphrase), private)


def unseal_files(data: bytes, passphrase: str) -> dict[str, bytes]:
    """Return the files by name; raises `RestoreError`."""
    salt, rest = data[len(MAGIC) : len(MAGIC) + SALT_BYTES], data[len(MAGIC) + SALT_BYTES :]
    nonce, sealed = rest[:NONCE_BYTES], rest[NONCE_BYTES:]
    try:
        plain = AESGCM(_key(passphrase, salt)).decrypt(nonce, sealed, data[: len(MAGIC)])
    except (InvalidTag, ValueError):
        raise RestoreError(
            "the sealed keys do not open with this passphrase", fix="Check the passphrase."
        ) from None
    files = {}
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        for member in archive.getmembers():
            source = archive.extractfile(member)
            if source is not None and Path(member.name).name == member.name:
                files[member.name] = source.read()
    return files


def write_files(files: Mapping[str, bytes], private: Path) -> None:
    """Write new files with mode 0600 into a folder."""
    for name, content in files.items():
        descriptor = os.open(private / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)


def _key(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, n=2**15, r=8, p=1).derive(passphrase.encode())
