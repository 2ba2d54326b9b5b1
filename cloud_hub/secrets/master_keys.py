"""The master keys' port, and the keys in memory. A file, an HSM or a key service stands behind the port."""

import secrets
from dataclasses import dataclass, field
from typing import Final, Protocol, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cloud_hub.secrets.errors import SecretUnreadableError

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12


@dataclass(frozen=True)
class Wrapped:
    """A data key under the master key ``key_id``: nonce, ciphertext and tag (NIST SP 800-38D)."""

    key_id: str
    data: bytes


class MasterKeys(Protocol):
    """Keys that wrap data keys. One is active; during a rotation older ones still unwrap.

    An adapter obliges itself: what `add` and `retire` did is durable when they return, and a key that
    is not retired is never lost.
    """

    @property
    def active(self) -> str:
        """The id of the key that `wrap` uses."""
        ...

    @property
    def older(self) -> tuple[str, ...]:
        """The ids of keys before it that are not retired: not empty while a rotation is unfinished."""
        ...

    def wrap(self, data_key: bytes, bound_to: bytes) -> Wrapped:
        """Wrap ``data_key`` so that it unwraps only with the same ``bound_to``."""
        ...

    def unwrap(self, wrapped: Wrapped, bound_to: bytes) -> bytes:
        """Return the data key; raises `SecretUnreadableError`."""
        ...

    def add(self) -> str:
        """Make a new key, make it the active one, and return its id."""
        ...

    def retire(self, key_id: str) -> None:
        """Forget an older key for ever."""
        ...

    def derive(self, purpose: str) -> bytes:
        """Return 32 bytes for ``purpose`` from a root that never rotates (HKDF-SHA256, RFC 5869)."""
        ...


@dataclass(frozen=True)
class KeySet:
    """Key material: the root, and the master keys by id, the active one last. Its repr shows none."""

    root: bytes = field(repr=False)
    keys: dict[str, bytes] = field(repr=False)

    @classmethod
    def new(cls) -> Self:
        """Return fresh material with one master key."""
        return cls(secrets.token_bytes(KEY_BYTES), {new_id(): secrets.token_bytes(KEY_BYTES)})

    def with_new_key(self) -> "KeySet":
        """Return it with one more key, which is the active one."""
        return KeySet(self.root, self.keys | {new_id(): secrets.token_bytes(KEY_BYTES)})

    def without(self, key_id: str) -> "KeySet":
        """Return it without an older key; raises ``ValueError`` for the active one."""
        if key_id == list(self.keys)[-1]:
            raise ValueError("the active master key is not retired")
        return KeySet(self.root, {name: key for name, key in self.keys.items() if name != key_id})


def new_id() -> str:
    """Return an id for a key: 16 hex digits, no part of the key."""
    return secrets.token_hex(8)


class MemoryMasterKeys:
    """Master keys that live as long as the process."""

    def __init__(self, keys: KeySet | None = None) -> None:
        self._set = keys or KeySet.new()

    @property
    def active(self) -> str:
        """The id of the newest key."""
        return list(self._set.keys)[-1]

    @property
    def older(self) -> tuple[str, ...]:
        """The ids of those before it."""
        return tuple(self._set.keys)[:-1]

    def wrap(self, data_key: bytes, bound_to: bytes) -> Wrapped:
        """Wrap under the active key (AES-256-GCM, a random nonce of 96 bits)."""
        key_id, nonce = self.active, secrets.token_bytes(NONCE_BYTES)
        sealed = AESGCM(self._set.keys[key_id]).encrypt(nonce, data_key, _named(key_id, bound_to))
        return Wrapped(key_id, nonce + sealed)

    def unwrap(self, wrapped: Wrapped, bound_to: bytes) -> bytes:
        """Unwrap under the key that the row names; raises `SecretUnreadableError`."""
        key = self._set.keys.get(wrapped.key_id)
        if key is None:
            raise SecretUnreadableError(
                "the master key of this value is not there",
                where=wrapped.key_id,
                fix="Restore `pki/master-keys` and the database from the same backup.",
            )
        return open_sealed(key, wrapped.data, _named(wrapped.key_id, bound_to))

    def add(self) -> str:
        """Make a new active key."""
        self._keep(self._set.with_new_key())
        return self.active

    def retire(self, key_id: str) -> None:
        """Forget an older key; one that is gone already is no error."""
        self._keep(self._set.without(key_id))

    def derive(self, purpose: str) -> bytes:
        """Return 32 bytes for ``purpose``."""
        return HKDF(SHA256(), KEY_BYTES, salt=None, info=f"headland/{purpose}/1".encode()).derive(
            self._set.root
        )

    def _keep(self, keys: KeySet) -> None:
        self._set = keys


def open_sealed(key: bytes, sealed: bytes, bound_to: bytes) -> bytes:
    """Open nonce + AES-GCM ciphertext; raises `SecretUnreadableError`."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound_to)
    except (InvalidTag, ValueError) as error:
        raise SecretUnreadableError(
            "a stored value was changed, or stands in another's place",
            fix="Set the secret again; `headland audit verify` tells whether the log was touched too.",
        ) from error


def _named(key_id: str, bound_to: bytes) -> bytes:
    return key_id.encode() + b"\0" + bound_to
