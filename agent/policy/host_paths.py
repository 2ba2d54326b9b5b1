"""Opens a path of the host without being led elsewhere: no link below what the owner named is followed."""

import os
import stat
from pathlib import Path, PurePosixPath

from agent.errors import AgentError


class HostPathError(AgentError):
    """A path of the host is not there, or leads elsewhere."""

    code = "host-path-refused"
    retriable = True


def open_beneath(allowed: str, path: str, *, never: Path) -> int:
    """Return a descriptor (O_PATH) of ``path``, a plain path at or below ``allowed``.

    What the owner allowed may itself be a link; nothing below it may, since modules write there. What holds
    ``never``, or is in it, is not opened. Raises `HostPathError`.
    """
    parts = PurePosixPath(path).relative_to(allowed).parts
    place = _open(allowed, None, path)
    try:
        for part in parts:
            inner = _open(part, place, path)
            os.close(place)
            place = inner
        _check(place, path, never.resolve())
    except BaseException:
        os.close(place)
        raise
    return place


def _check(place: int, path: str, own: Path) -> None:
    mode = os.fstat(place).st_mode
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise _refused(path, "it is not a file or folder")
    where = Path(f"/proc/self/fd/{place}").readlink()
    if where.is_relative_to(own) or own.is_relative_to(where):
        raise _refused(path, "it leads to the agent's own folder")


def _open(name: str, folder: int | None, path: str) -> int:
    follow = 0 if folder is None else os.O_NOFOLLOW
    try:
        place = os.open(name, os.O_PATH | os.O_CLOEXEC | follow, dir_fd=folder)
    except OSError as error:
        raise _refused(path, f"it cannot be opened ({error.strerror})") from error
    if stat.S_ISLNK(os.fstat(place).st_mode):
        os.close(place)
        raise _refused(path, f"{name!r} in it is a symbolic link")
    return place


def _refused(path: str, reason: str) -> HostPathError:
    return HostPathError(reason, where=path, fix="Correct the manifest, or what is there on the device.")
