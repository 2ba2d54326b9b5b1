"""HTTP/1.1 on a Unix socket: what the agent's local sockets share."""

import http.server
import logging
import os
import selectors
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import ClassVar

from agent.endpoints.listeners import EndpointError, bind
from contract.encoding import encode
from contract.errors import HeadlandError, Problem

log = logging.getLogger(__name__)

READ_TIMEOUT_S = 60.0
LOST_WAIT_S = 0.05


class UnixServer(socketserver.ThreadingMixIn, socketserver.BaseServer):
    """Serves ``listener`` with a thread for each connection, from its making until closed."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, listener: socket.socket, handler: type["UnixHandler"], name: str) -> None:
        super().__init__(listener.getsockname(), handler)
        self.socket = listener
        self._name = name
        self._ends = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def close(self) -> None:
        """Stop serving, at once: whoever closes many in turn must not wait for each."""
        os.eventfd_write(self._ends, 1)
        self._thread.join()
        self.server_close()
        os.close(self._ends)

    def _serve(self) -> None:
        # Not the loop of the base class: that wakes twice a second to look whether it is to end.
        with selectors.DefaultSelector() as found:
            found.register(self.socket, selectors.EVENT_READ)
            ending = found.register(self._ends, selectors.EVENT_READ)
            while all(key is not ending for key, _ in found.select()):
                self._take()

    def _take(self) -> None:
        try:
            connection, name = self.get_request()
        except OSError as error:
            log.warning("%s: a connection was lost (%s)", self._name, error.strerror)
            time.sleep(LOST_WAIT_S)  # it may still be there: without descriptors it cannot be taken
            return
        try:
            self.process_request(connection, name)
        except RuntimeError:  # no thread is to be had now
            self.handle_error(connection, name)
            self.shutdown_request(connection)

    def fileno(self) -> int:
        """Return the listener's descriptor."""
        return self.socket.fileno()

    def get_request(self) -> tuple[socket.socket, str]:
        """Take a connection; it may be silent for a minute at most."""
        connection, _ = self.socket.accept()
        connection.settimeout(READ_TIMEOUT_S)
        return connection, self._name

    def server_close(self) -> None:
        """Close the listener."""
        self.socket.close()

    def shutdown_request(self, request: object) -> None:
        """Close a connection."""
        if isinstance(request, socket.socket):
            request.close()

    def handle_error(self, _request: object, _client_address: object) -> None:
        """Log what went wrong on a connection; the others go on."""
        log.warning("a local connection failed", exc_info=True)


class LocalSocket:
    """A socket of the daemon's own, mode 0600, that is served until closed.

    A full disk takes no socket: then nobody is answered there, and scoring goes on.
    """

    def __init__(self, path: Path, make: Callable[[socket.socket], UnixServer]) -> None:
        self._server: UnixServer | None = None
        try:
            self._server = make(bind(path, mode=0o600))
        except EndpointError as error:
            log.warning("nobody is answered at %s: %s", path.name, error)
            return
        self._server.start()

    def close(self) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.close()


class UnixHandler(http.server.BaseHTTPRequestHandler):
    """Reads bounded bodies and answers in JSON and problems (RFC 9457)."""

    protocol_version = "HTTP/1.1"
    max_body_bytes: ClassVar[int]

    def _read_body(self) -> bytes | None:
        """Return the body; None, and a problem is answered, where it is too large or says no length."""
        length = self.headers.get("Content-Length", "0")
        if not length.isascii() or not length.isdigit() or int(length) > self.max_body_bytes:
            self.close_connection = True
            self._problem(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "body-too-large",
                f"a body may have {self.max_body_bytes} bytes and must say its length",
                retriable=False,
            )
            return None
        return self.rfile.read(int(length))

    def _refuse(self, status: HTTPStatus, error: HeadlandError) -> None:
        """Answer with an error of ours."""
        self._problem(status, error.code, str(error), retriable=error.retriable)

    def _problem(self, status: HTTPStatus, code: str, detail: str, *, retriable: bool) -> None:
        """Answer with a problem."""
        problem = Problem(
            type=f"urn:headland:error:{code}",
            title=status.phrase,
            status=status.value,
            detail=detail,
            code=code,
            retriable=retriable,
        )
        self._answer(status, encode(problem), "application/problem+json")

    def _answer(self, status: HTTPStatus, body: bytes, kind: str = "application/json") -> None:
        """Send an answer whole."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log requests for those who look for defects only."""
        log.debug(format, *args)
