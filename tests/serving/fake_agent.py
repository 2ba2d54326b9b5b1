"""The agent as a module sees it: HTTP on a Unix socket, that can fail, lose answers, stop and restart."""

import http.server
import socket
import socketserver
import threading
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import msgspec

from contract.agent_api import READY_PATH, TELEMETRY_PATH, Handover
from contract.messages import Inference

Mode = Literal["ok", "fail", "busy", "refuse", "lose"]
STATUS: dict[str, int] = {"ok": 200, "fail": 500, "busy": 429, "refuse": 400}


class FakeAgent:
    """Keeps every attempt, and stores each hand-over once, by ``(producer, number)``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mode: Mode = "ok"
        self.ready = 0
        self.attempts: list[bytes] = []
        self.stored: dict[tuple[str, int], bytes] = {}
        self._lock = threading.Lock()
        self._server: _Server | None = None

    def start(self) -> "FakeAgent":
        self._server = _Server(self)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Go away, with the socket's path."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
            self.path.unlink()

    def take(self, target: str, body: bytes) -> int | None:
        """Return the status to answer, or None to close without an answer."""
        with self._lock:
            if target == READY_PATH:
                self.ready += 1
                return STATUS.get(self.mode)
            assert target == TELEMETRY_PATH + "inference"
            self.attempts.append(body)
            handover = msgspec.json.decode(body, type=Handover)
            if self.mode in ("ok", "lose"):
                self.stored.setdefault((handover.producer, handover.number), body)
            return STATUS.get(self.mode)

    @property
    def handovers(self) -> list[Handover]:
        with self._lock:
            return [msgspec.json.decode(body, type=Handover) for body in self.stored.values()]

    @property
    def samples(self) -> list[Inference]:
        return [msgspec.json.decode(body, type=Inference) for one in self.handovers for body in one.bodies]

    @property
    def request_ids(self) -> Counter[str]:
        return Counter(sample.request_id for sample in self.samples)


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, agent: FakeAgent) -> None:
        self.agent = agent
        super().__init__(str(agent.path), _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, _ = self.socket.accept()
        return connection, ("module", 0)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.server.agent.take(self.path, body)
        if status is None:
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
