"""The hub's own NATS keys (nkeys): one for each thing it is to the server."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import nkeys

from cloud_hub.pki.durable_file import read_private, write_durably
from cloud_hub.pki.errors import KeyFileError


@dataclass(frozen=True)
class NatsKey:
    """A key pair: ``public`` may be shown, the seed stays in its file (0600)."""

    public: str
    seed_file: Path
    _pair: nkeys.KeyPair = field(repr=False)

    @classmethod
    def at(cls, seed_file: Path, *, account: bool = False) -> Self:
        """Load the key in ``seed_file``, or make one there. Raises `KeyFileError`."""
        if not seed_file.exists():
            prefix = nkeys.PREFIX_BYTE_ACCOUNT if account else nkeys.PREFIX_BYTE_USER
            write_durably(seed_file, bytes(nkeys.encode_seed(os.urandom(32), prefix)) + b"\n")
        pair = _pair(seed_file)
        return cls(pair.public_key.decode().rstrip("="), seed_file, pair)

    def sign(self, data: bytes) -> bytes:
        """Return the Ed25519 signature of ``data``."""
        return bytes(self._pair.sign(data))


@dataclass(frozen=True)
class HubKeys:
    """Who the hub is to its server: devices' counterpart, judge of connections, operator.

    ``issuer`` signs the judgements and is no login. Hubs of one cluster have the same keys.
    """

    hub: NatsKey
    auth: NatsKey
    system: NatsKey
    issuer: NatsKey

    @classmethod
    def at(cls, folder: Path) -> Self:
        """Load the four keys kept in ``folder``; what is missing is made. Raises `KeyFileError`."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(
            hub=NatsKey.at(folder / "broker-hub.nk"),
            auth=NatsKey.at(folder / "broker-auth.nk"),
            system=NatsKey.at(folder / "broker-system.nk"),
            issuer=NatsKey.at(folder / "broker-issuer.nk", account=True),
        )


def _pair(seed_file: Path) -> nkeys.KeyPair:
    try:
        return nkeys.from_seed(bytearray(read_private(seed_file).strip()))
    except (nkeys.NkeysError, ValueError) as error:
        raise KeyFileError(
            "not a NATS key seed",
            where=str(seed_file),
            fix="Delete the file and restart the hub: it makes a new key, and no device notices. "
            "Of several hubs, take the file of another.",
        ) from error
