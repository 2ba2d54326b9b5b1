"""HTTP/1.1 to a Unix socket of this device."""

import http.client
import socket
from pathlib import Path


class UnixHttpConnection(http.client.HTTPConnection):
    """A connection that is made with its first request; waits ``timeout_s`` for each answer."""

    def __init__(self, path: Path, *, timeout_s: float = 10.0) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
