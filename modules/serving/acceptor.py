"""The listening sockets: opening them, accepting on it next to other processes, and leaving it to them."""

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from modules.serving.errors import ServingSettingsError
from modules.serving.log import log_event
from modules.serving.settings import LISTEN_FIX, HandedListener, InheritedListener, Listen, TcpListener

BURST: Final = 64
BACKLOG: Final = 1024
PAUSE_S: Final = 0.1
HAND_OVER_S: Final = 10.0
MOST_HANDED: Final = 64
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def open_listeners(listen: Listen) -> list[socket.socket]:
    """Return the listening sockets, non-blocking; raises `ServingSettingsError`.

    O_NONBLOCK belongs to the open file description, so it holds for every process that shares the
    socket. All of them need it: one wakes up for a connection that another one takes.
    """
    try:
        if isinstance(listen, InheritedListener):
            listeners = [_inherited(listen.fd + index) for index in range(listen.count)]
        elif isinstance(listen, HandedListener):
            listeners = [_inherited(fd) for fd in _fetch(listen.path)]
        elif isinstance(listen, TcpListener):
            family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
            listeners = [socket.create_server((listen.host, listen.port), family=family, backlog=BACKLOG)]
        else:
            listeners = [_bind_unix(Path(listen.path))]
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ServingSettingsError(
            f"no listening socket: {reason}", where=str(listen), fix=LISTEN_FIX
        ) from error
    for listener in listeners:
        listener.setblocking(False)
    return listeners


def _fetch(path: str) -> list[int]:
    """Ask for the listening sockets that this container may have: the module's, and its ports."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(HAND_OVER_S)
        line.connect(path)
        _, handed, _, _ = socket.recv_fds(line, 4096, MOST_HANDED)
    if not handed:
        raise ServingSettingsError("no socket was handed over", where=path)
    return handed


class Acceptor:
    """Accepts connections until `stop`; ``connect`` makes the protocol of an accepted socket."""

    def __init__(self, listener: socket.socket, connect: Callable[[socket.socket], asyncio.Protocol]) -> None:
        self._listener = listener
        self._connect = connect
        self._loop = asyncio.get_running_loop()
        self._connecting: set[asyncio.Task[object]] = set()
        self._pause: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to accept."""
        self._pause = None
        self._loop.add_reader(self._listener.fileno(), self._accept, BURST)

    async def stop(self) -> None:
        """Take what waits in the backlog, then close our copy of the socket.

        It is not shut down and its path is not removed: the agent and the next version hold it too.
        """
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener.fileno())
        self._accept(BACKLOG)
        if self._pause is not None:
            self._pause.cancel()
        self._listener.close()
        if self._connecting:
            await asyncio.wait(self._connecting)

    def _accept(self, limit: int) -> None:
        for _ in range(limit):
            try:
                accepted, _ = self._listener.accept()
            except BlockingIOError:  # the normal end, and what a process sees that came second
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._pause_accepting(error)
                    return
                continue  # this one connection is gone already (accept(2), "Error handling")
            accepted.setblocking(False)
            task = self._loop.create_task(self._attach(accepted))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    async def _attach(self, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: self._connect(accepted), accepted)
        except OSError as error:
            log_event(f"an accepted connection failed: {os.strerror(error.errno or 0)}")
            accepted.close()

    def _pause_accepting(self, error: OSError) -> None:
        """Wait a little where descriptors or memory ran out; the readable socket would spin the loop."""
        log_event(f"accepting pauses for {PAUSE_S} s: {os.strerror(error.errno or 0)}")
        self._loop.remove_reader(self._listener.fileno())
        self._pause = self._loop.call_later(PAUSE_S, self.start)


def _inherited(descriptor: int) -> socket.socket:
    listener = socket.socket(fileno=descriptor)
    if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise ServingSettingsError("the socket does not listen", where=f"descriptor {descriptor}")
    listener.set_inheritable(False)
    return listener


def _bind_unix(path: Path) -> socket.socket:
    if path.is_socket():
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(BACKLOG)
    return listener
