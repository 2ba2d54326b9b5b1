"""A line to the hub's broker that can be cut: a relay on the loopback, which sees TLS alone."""

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

CHUNK_BYTES = 64 * 1024
LOOK_S = 0.1


class CutLine:
    """Passes bytes from its own ``port`` to another; one thread for all connections."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.down = False
        self._cut = threading.Event()
        self._stopping = threading.Event()
        self._others: dict[socket.socket, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="cut-line", daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Cut every connection that there is, without a goodbye."""
        self._cut.set()

    def close(self) -> None:
        """End."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self._cut.is_set():
                self._cut.clear()
                for each in list(self._others):
                    self._drop(each)
            for key, _ in self._selector.select(LOOK_S):
                one = key.fileobj
                if one is self._listener:
                    self._accept()
                elif isinstance(one, socket.socket) and one in self._others:
                    self._pass_on(one)
        for each in list(self._others):
            self._drop(each)
        self._selector.close()
        self._listener.close()

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        if self.down:
            near.close()
            return
        try:
            far = socket.create_connection(("127.0.0.1", self._to_port), 10)
        except OSError:
            near.close()
            return
        self._others |= {near: far, far: near}
        for one in (near, far):
            self._selector.register(one, selectors.EVENT_READ)

    def _pass_on(self, one: socket.socket) -> None:
        try:
            data = one.recv(CHUNK_BYTES)
            self._others[one].sendall(data)
        except OSError:
            data = b""
        if not data:
            self._drop(one)

    def _drop(self, one: socket.socket) -> None:
        other = self._others.pop(one, None)
        if other is None:
            return
        del self._others[other]
        for each in (one, other):
            self._selector.unregister(each)
            with contextlib.suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # RST, as a cut is
            each.close()


@contextmanager
def cut_each(line: CutLine, seconds: float) -> Iterator[None]:
    """Cut the line again and again while the block runs."""
    stopping = threading.Event()

    def run() -> None:
        while not stopping.wait(seconds):
            line.cut()

    thread = threading.Thread(target=run, name="cutter", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
