"""Master keys in a file of the hub's private folder: mode 0600, replaced whole, outside the database."""

from pathlib import Path
from typing import Self

import msgspec

from cloud_hub.pki.durable_file import read_private, write_durably
from cloud_hub.pki.errors import KeyFileError, KeyFileExistsError
from cloud_hub.secrets.master_keys import KEY_BYTES, KeySet, MemoryMasterKeys
from contract.encoding import encode

MASTER_KEYS_FILE = "master-keys"


class _Key(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: str
    key: bytes

    def __repr__(self) -> str:
        return f"_Key({self.id})"


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """JSON, keys in base64; ``keys`` from the oldest to the active one."""

    version: int
    root: bytes
    keys: list[_Key]

    def __repr__(self) -> str:
        return f"_File({self.keys})"


class FileMasterKeys(MemoryMasterKeys):
    """Master keys of a hub: each change is on disk before it is used."""

    def __init__(self, path: Path, keys: KeySet) -> None:
        super().__init__(keys)
        self._path = path

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make the file with fresh keys; raises `KeyFileExistsError` and `KeyFileError`."""
        if path.exists():
            raise KeyFileExistsError(
                "there are master keys already",
                where=str(path),
                fix="Load them: without them no stored secret can be read.",
            )
        made = cls(path, KeySet.new())
        made._keep(made._set)
        return made

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the file; raises `KeyFileError` where it is missing, open to others, or no such file."""
        data = read_private(path)
        try:
            file = msgspec.json.decode(data, type=_File)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise _broken(path) from None  # the cause could repeat what stands there
        keys = {key.id: key.key for key in file.keys}
        lengths = {len(key) for key in (file.root, *keys.values())}
        if file.version != 1 or lengths != {KEY_BYTES} or not keys or len(keys) != len(file.keys):
            raise _broken(path)
        return cls(path, KeySet(file.root, keys))

    def _keep(self, keys: KeySet) -> None:
        listed = [_Key(id=key_id, key=key) for key_id, key in keys.keys.items()]
        write_durably(self._path, encode(_File(version=1, root=keys.root, keys=listed)))
        super()._keep(keys)


def _broken(path: Path) -> KeyFileError:
    return KeyFileError("not a file of master keys", where=str(path), fix="Restore it from the hub's backup.")
