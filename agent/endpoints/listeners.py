"""A module's listening sockets, owned by the agent, and the one name that clients connect to.

Each life of the agent binds a socket of its own for a module (a restarted one cannot have back
the descriptor that its containers hold), under a name that is never used twice. What clients
connect to, ``{module}.sock``, is a symbolic link, replaced in one step, to the socket of the
container that serves. A connection made before waits in the old socket's queue, which its container
empties before it stops. Which socket a container holds is in its record, so after a kill at any
point the link can be put right.
"""

import errno
import os
import socket
import stat
import uuid
from collections.abc import Iterable
from pathlib import Path

from agent.errors import AgentError

BACKLOG = 512
LONGEST_PATH = 107  # sun_path of unix(7), less the terminating zero


class EndpointError(AgentError):
    """A socket could not be made."""

    code = "endpoint-failed"


class Listeners:
    """The listening sockets of all modules, made when first asked for."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._sockets: dict[str, tuple[str, socket.socket]] = {}

    @property
    def folder(self) -> Path:
        """Where the sockets are."""
        return self._folder

    def path(self, module: str) -> Path:
        """Where clients of ``module`` connect."""
        return self._folder / f"{module}.sock"

    def get(self, module: str) -> tuple[str, socket.socket]:
        """Return the name and the socket of this life's listener; clients reach it once published."""
        if module not in self._sockets:
            name = f"{module}.{uuid.uuid4().hex[:8]}"
            self._sockets[module] = (name, bind(self._folder / name))
        return self._sockets[module]

    def published(self, module: str) -> str:
        """Return the name of the listener that clients reach now, or an empty text."""
        try:
            return str(self.path(module).readlink())
        except OSError:
            return ""

    def publish(self, module: str, name: str) -> None:
        """Lead clients to the listener ``name`` from now on, in one step."""
        if self.published(module) == name:
            return
        beside = self._folder / f"{module}.link"
        beside.unlink(missing_ok=True)
        beside.symlink_to(name)
        beside.replace(self.path(module))

    def sweep(self, module: str, held: Iterable[str]) -> None:
        """Delete the sockets of earlier lives that no container of ``module`` holds any more."""
        keep = {*held, self.published(module)}
        if module in self._sockets:
            keep.add(self._sockets[module][0])
        for path in self._folder.glob(f"{module}.{'[0-9a-f]' * 8}"):
            if path.name not in keep:
                path.unlink(missing_ok=True)

    def drop(self, module: str) -> None:
        """Close and unlink: the module is no longer desired."""
        listener = self._sockets.pop(module, None)
        if listener is not None:
            listener[1].close()
        self.path(module).unlink(missing_ok=True)
        self.sweep(module, ())

    def close(self) -> None:
        """Close our copies; the paths stay, since containers go on serving."""
        for _, listener in self._sockets.values():
            listener.close()
        self._sockets.clear()


def bind(path: Path, *, mode: int = 0o666) -> socket.socket:
    """Listen on ``path``, replacing what is there in one step; raises `EndpointError`."""
    beside = path.with_name(f".{path.name}")
    if len(str(beside).encode()) > LONGEST_PATH:
        raise EndpointError(
            f"the path of a Unix socket may have {LONGEST_PATH} bytes",
            where=str(path),
            fix="Choose a shorter state_dir.",
        )
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        beside.unlink(missing_ok=True)
        listener.bind(str(beside))
        _open_to(beside, mode)
        listener.listen(BACKLOG)
        beside.replace(path)
    except OSError as error:
        listener.close()
        raise EndpointError(f"cannot listen ({error.strerror})", where=str(path)) from error
    return listener


def _open_to(path: Path, mode: int) -> None:
    """Set a socket's mode. A module may write beside it: what it put in its place is left as it is."""
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            raise OSError(errno.EEXIST, "something else stands in its place")
        Path(f"/proc/self/fd/{descriptor}").chmod(mode)
    finally:
        os.close(descriptor)
