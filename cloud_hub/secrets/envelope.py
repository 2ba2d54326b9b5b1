"""Envelope encryption of one value: a random data key seals it, a master key wraps the data key."""

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cloud_hub.secrets.errors import SecretUnreadableError
from cloud_hub.secrets.master_keys import KEY_BYTES, NONCE_BYTES, MasterKeys, Wrapped, open_sealed
from cloud_hub.secrets.text import SecretText
from contract.encoding import canonical


@dataclass(frozen=True)
class Place:
    """Where a value belongs. It is bound to both layers, so a row in another's place does not open."""

    workspace: str
    name: str
    version: int

    @property
    def bound(self) -> bytes:
        """The additional authenticated data: one list as JSON, so no two places give the same bytes."""
        return canonical(["headland/secret/1", self.workspace, self.name, self.version])


@dataclass(frozen=True)
class Sealed:
    """A value at rest: its wrapped data key, and nonce + ciphertext + tag under that."""

    key: Wrapped
    value: bytes


def seal(keys: MasterKeys, place: Place, value: SecretText) -> Sealed:
    """Seal ``value`` (UTF-8) for ``place`` under a data key that is used this once."""
    data_key, nonce = secrets.token_bytes(KEY_BYTES), secrets.token_bytes(NONCE_BYTES)
    sealed = nonce + AESGCM(data_key).encrypt(nonce, value.reveal().encode(), place.bound)
    return Sealed(keys.wrap(data_key, place.bound), sealed)


def unseal(keys: MasterKeys, place: Place, sealed: Sealed) -> SecretText:
    """Return the value; raises `SecretUnreadableError`, which names the place."""
    with _named(place):
        data_key = keys.unwrap(sealed.key, place.bound)
        return SecretText(open_sealed(data_key, sealed.value, place.bound).decode())


def rewrap(keys: MasterKeys, place: Place, wrapped: Wrapped) -> Wrapped:
    """Return the same data key under the active master key; the value's bytes stay as they are.

    Raises `SecretUnreadableError`, which names the place.
    """
    with _named(place):
        return keys.wrap(keys.unwrap(wrapped, place.bound), place.bound)


@contextlib.contextmanager
def _named(place: Place) -> Iterator[None]:
    try:
        yield
    except SecretUnreadableError as error:
        where = f"{place.workspace}/{place.name}:{place.version}"
        raise SecretUnreadableError(error.what, where=where, fix=error.fix) from error
