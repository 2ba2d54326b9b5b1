"""A receiver of webhooks on the loopback, and a verifier that knows nothing of our code."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOLERANCE_S = 300


class NotGenuineError(Exception):
    """The signature is none."""


def verify(secret: str, headers: dict[str, str], body: bytes, *, now_s: float | None = None) -> None:
    """Check a delivery as the Standard Webhooks specification 1.0.0 tells receivers to."""
    scheme, _, encoded = secret.partition("_")
    if scheme != "whsec":
        raise NotGenuineError("secret")
    stamp = headers["webhook-timestamp"]
    if abs((now_s if now_s is not None else time.time()) - int(stamp)) > TOLERANCE_S:
        raise NotGenuineError("timestamp")
    mac = hmac.new(base64.b64decode(encoded), digestmod=hashlib.sha256)
    for part in (headers["webhook-id"].encode(), b".", stamp.encode(), b".", body):
        mac.update(part)
    expected = base64.b64encode(mac.digest()).decode()
    versions = [each.split(",", 1) for each in headers["webhook-signature"].split(" ")]
    if not any(v == "v1" and hmac.compare_digest(given, expected) for v, given in versions):
        raise NotGenuineError("signature")


@dataclass(frozen=True)
class Received:
    """One request."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def type(self) -> str:
        return str(self.event["type"])


Behaviour = Callable[[int], int | str]
"""What the n-th request (from 0) is answered with: a status, `hang`, `flood`, or `redirect`."""


@dataclass
class Receiver:
    """Answers as it is told, and keeps all that came."""

    behaviour: Behaviour = lambda _n: 200
    port: int = 0
    received: list[Received] = field(default_factory=list)
    answered: list[int | str] = field(default_factory=list)
    _server: ThreadingHTTPServer | None = None
    _stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def taken(self) -> list[Received]:
        """What was answered with 2xx."""
        return [r for r, a in zip(self.received, self.answered, strict=False) if a == 200]

    def start(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                answer = receiver._note(Received(headers, body))
                if answer == "hang":
                    receiver._stopping.wait(60)
                    return
                if answer == "redirect":
                    self.send_response(302)
                    self.send_header("Location", f"{receiver.url}/elsewhere")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                if answer == "flood":
                    self.send_response(200)
                    self.end_headers()
                    while not receiver._stopping.is_set():
                        self.wfile.write(b"x" * 65536)
                    return
                self.send_response(int(answer))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._stopping = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Be gone; `start` comes back on the same port."""
        self._stopping.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _note(self, request: Received) -> int | str:
        answer = self.behaviour(len(self.received))
        self.received.append(request)
        self.answered.append(answer)
        return answer
