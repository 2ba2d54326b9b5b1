"""The agent's socket for one container: `contract.agent_api` over HTTP/1.1 on a Unix socket.

Each container has a socket of its own, so the agent knows who speaks without asking for a name.
"""

import http.server
import logging
import socket
import socketserver
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from agent.endpoints.listeners import bind
from agent.outbox.port import Outbox, OutboxError, OutboxFullError
from contract.agent_api import READY_PATH, TELEMETRY_PATH, Handover, HandoverAnswer
from contract.encoding import decode, encode
from contract.errors import ContractError, HeadlandError, Problem
from contract.ids import InvalidNameError, check_stream
from contract.messages import MAX_SEQUENCE, sample_fault

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_SAMPLE_BYTES = 256 * 1024
MAX_SAMPLES = 10_000
MAX_PRODUCER_CHARS = 64
READ_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Hooks:
    """What a module's words lead to."""

    outbox: Outbox
    ready: Callable[[str], None]
    stored: Callable[[], None]


class ModuleApi:
    """Serves one container's agent socket until closed."""

    def __init__(self, container_id: str, path: Path, hooks: Hooks) -> None:
        self._server = _Server(bind(path), container_id, hooks)
        self._thread = threading.Thread(
            target=self._server.serve_forever, name=f"module-api-{container_id}", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(socketserver.ThreadingMixIn, socketserver.BaseServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, listener: socket.socket, container_id: str, hooks: Hooks) -> None:
        super().__init__(listener.getsockname(), _Handler)
        self.socket = listener
        self.container_id = container_id
        self.hooks = hooks

    def fileno(self) -> int:
        return self.socket.fileno()

    def get_request(self) -> tuple[socket.socket, str]:
        connection, _ = self.socket.accept()
        connection.settimeout(READ_TIMEOUT_S)
        return connection, self.container_id

    def server_close(self) -> None:
        self.socket.close()

    def shutdown_request(self, request: object) -> None:
        if isinstance(request, socket.socket):
            request.close()

    def handle_error(self, _request: object, _client_address: object) -> None:
        log.warning("a module's connection failed", exc_info=True)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        try:
            body = self._read_body()
            if body is None:
                return
            if self.path == READY_PATH:
                self.server.hooks.ready(self.server.container_id)
                self._answer(HTTPStatus.OK, b"{}")
            elif self.path.startswith(TELEMETRY_PATH):
                self._take_telemetry(check_stream(self.path.removeprefix(TELEMETRY_PATH)), body)
            else:
                self._problem(HTTPStatus.NOT_FOUND, "not-found", "no such path", retriable=False)
        except (ContractError, InvalidNameError) as error:
            self._refuse(HTTPStatus.BAD_REQUEST, error)
        except OutboxFullError as error:
            self._refuse(HTTPStatus.INSUFFICIENT_STORAGE, error)
        except OutboxError as error:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, error)

    def _take_telemetry(self, stream: str, body: bytes) -> None:
        handover = decode(body, Handover, what="hand-over")
        if fault := sample_fault(handover.sampled_at_us, handover.bodies):
            raise ContractError(fault, where="hand-over")
        if not 0 <= handover.number <= MAX_SEQUENCE or len(handover.producer) > MAX_PRODUCER_CHARS:
            raise ContractError("number or producer out of range", where="hand-over")
        if len(handover.bodies) > MAX_SAMPLES:
            raise ContractError(f"a hand-over may have {MAX_SAMPLES} samples", where="hand-over")
        if any(len(bytes(body)) > MAX_SAMPLE_BYTES for body in handover.bodies):
            raise ContractError(f"a sample may have {MAX_SAMPLE_BYTES} bytes", where="hand-over")
        hooks = self.server.hooks
        stored = hooks.outbox.put(
            stream, handover.producer, handover.number, handover.sampled_at_us, handover.bodies
        )
        hooks.stored()
        self._answer(HTTPStatus.OK, encode(HandoverAnswer(stored=stored)))

    def _read_body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "0")
        if not length.isascii() or not length.isdigit() or int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            self._problem(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "body-too-large",
                f"a body may have {MAX_BODY_BYTES} bytes and must say its length",
                retriable=False,
            )
            return None
        return self.rfile.read(int(length))

    def _refuse(self, status: HTTPStatus, error: HeadlandError) -> None:
        self._problem(status, error.code, str(error), retriable=error.retriable)

    def _problem(self, status: HTTPStatus, code: str, detail: str, *, retriable: bool) -> None:
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
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        log.debug(format, *args)
