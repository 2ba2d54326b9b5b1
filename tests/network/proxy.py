"""A real proxy for one test: CONNECT and plain requests, told what it was asked for."""

import base64
import http.client
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

CHUNK_BYTES = 64 * 1024


@dataclass
class Proxy:
    """What it lets through, and what it saw; ``elsewhere``: where tunnels to a target really lead."""

    password: str = ""
    elsewhere: dict[str, tuple[str, int]] = field(default_factory=dict)
    answer: bytes = b""
    connects: list[str] = field(default_factory=list)
    plain: list[str] = field(default_factory=list)
    heads: list[dict[str, str]] = field(default_factory=list)
    bytes_back: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        """What the settings name."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def running(proxy: Proxy) -> Iterator[Proxy]:
    """Run it on a free port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(proxy))
    server.daemon_threads = True
    proxy.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield proxy
    server.shutdown()
    server.server_close()


def _handler(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

        def _allowed(self) -> bool:
            proxy.heads.append(dict(self.headers.items()))
            if proxy.answer:
                self.wfile.write(proxy.answer)
                return False
            wanted = f"Basic {base64.b64encode(proxy.password.encode()).decode()}"
            if proxy.password and self.headers.get("Proxy-Authorization") != wanted:
                self.send_error(407)
                return False
            return True

        def do_CONNECT(self) -> None:
            proxy.connects.append(self.path)
            if not self._allowed():
                return
            host, _, port = self.path.rpartition(":")
            target = proxy.elsewhere.get(self.path, (host, int(port)))
            with socket.create_connection(target, 10) as other:
                self.send_response(200)
                self.end_headers()
                _relay(proxy, self.connection, other)
            self.close_connection = True

        def do_GET(self) -> None:
            proxy.plain.append(self.path)
            if not self._allowed():
                return
            url = urlsplit(self.path)
            connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=10)
            headers = {k: v for k, v in self.headers.items() if not k.startswith("Proxy-")}
            connection.request("GET", url.path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


def _relay(proxy: Proxy, client: socket.socket, other: socket.socket) -> None:
    while True:
        for source in select.select([client, other], [], [])[0]:
            data = source.recv(CHUNK_BYTES)
            if not data:
                return
            if source is other:
                proxy.bytes_back += len(data)
            (other if source is client else client).sendall(data)
