"""Files that hold keys: written whole or not at all, readable by their owner alone."""

import os
import stat
from pathlib import Path

from cloud_hub.pki.errors import KeyFileError

PRIVATE_MODE = 0o600
PUBLIC_MODE = 0o644


def write_durably(path: Path, data: bytes, *, mode: int = PRIVATE_MODE) -> None:
    """Replace ``path`` by ``data`` in one step and flush file and folder to disk.

    The file never exists with other bits than ``mode``, whatever the umask. Raises `KeyFileError`.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise KeyFileError(
            f"cannot be written ({error.strerror})",
            where=str(path),
            fix="Check that the folder exists, belongs to the hub's user and has free space.",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def read_private(path: Path) -> bytes:
    """Return the bytes of a private key's file.

    Raises `KeyFileError` where it cannot be read, or where its group or others could read it too.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise KeyFileError(
                    f"is open to other users (mode {mode:04o})",
                    where=str(path),
                    fix="Take their access away (chmod 600) and consider the key as known to them.",
                )
            return file.read()
    except OSError as error:
        raise KeyFileError(
            f"cannot be read ({error.strerror})",
            where=str(path),
            fix="Restore the file from the hub's backup; run the hub as the user that owns it.",
        ) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
