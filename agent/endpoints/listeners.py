"""A module's listening socket: one Unix socket for each module, owned by the agent.

After a restart of the agent the container still holds the old listener, whose descriptor cannot
be had back. So a new one is bound beside it, and renamed over its path only when something serves
it (or nothing serves the old one): connections made before wait in the old one's queue, which its
container empties before it stops, and later ones come to the new one. A version that never gets
ready is never at the path.
"""

import socket
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
        self._sockets: dict[str, socket.socket] = {}
        self._unpublished: set[str] = set()

    def path(self, module: str) -> Path:
        """Where clients of ``module`` connect."""
        return self._folder / f"{module}.sock"

    def get(self, module: str) -> socket.socket:
        """Return the module's listener, listening; clients reach it once it is published."""
        if module not in self._sockets:
            self._sockets[module] = bind_over(self._beside(module))
            self._unpublished.add(module)
        return self._sockets[module]

    def publish(self, module: str) -> None:
        """Put the module's listener at its path, in one step; nothing happens where it is there."""
        if module in self._unpublished:
            self._beside(module).replace(self.path(module))
            self._unpublished.discard(module)

    def drop(self, module: str) -> None:
        """Close and unlink: the module is no longer desired."""
        listener = self._sockets.pop(module, None)
        if listener is not None:
            listener.close()
        self._unpublished.discard(module)
        self._beside(module).unlink(missing_ok=True)
        self.path(module).unlink(missing_ok=True)

    def close(self) -> None:
        """Close our copies; the paths stay, since containers go on serving."""
        for listener in self._sockets.values():
            listener.close()
        self._sockets.clear()

    def _beside(self, module: str) -> Path:
        return self._folder / f"{module}.next"


def bind_over(path: Path, *, mode: int = 0o666) -> socket.socket:
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
        beside.chmod(mode)
        listener.listen(BACKLOG)
        beside.replace(path)
    except OSError as error:
        listener.close()
        raise EndpointError(f"cannot listen ({error.strerror})", where=str(path)) from error
    return listener
