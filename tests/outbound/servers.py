"""Servers on loopback that count what reaches them, and doubles for names and for the way to an address."""

import re
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address

import httpcore

from cloud_hub.outbound.addresses import Address

Answer = Callable[[bytes], bytes]


def request_of(line: socket.socket) -> bytes:
    """Read one request with its body, as far as it comes."""
    heard = b""
    while chunk := line.recv(65536):
        heard += chunk
        head, end, body = heard.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        if end and len(body) >= (int(length[1]) if length else 0):
            break
    return heard


class Canary:
    """A TCP server that counts connections and keeps what they say; it answers if it is given words."""

    def __init__(self, answer: Answer | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        self.heard: list[bytes] = []
        self.names: list[str | None] = []
        if tls is not None:
            tls.sni_callback = lambda _s, name, _c: self.names.append(name)
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                outer.connections += 1
                line = self.request
                line.settimeout(20)
                try:
                    if tls is not None:
                        line = tls.wrap_socket(line, server_side=True)
                    outer.heard.append(request_of(line))
                    if answer is not None:
                        line.sendall(answer(outer.heard[-1]))
                    line.close()
                except OSError:
                    return

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def canary(answer: Answer | None = None, tls: ssl.SSLContext | None = None) -> Iterator[Canary]:
    server = Canary(answer, tls)
    try:
        yield server
    finally:
        server.close()


def reply(body: bytes = b"ok", status: str = "200 OK", **headers: str) -> Answer:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *lines, "", ""])
    return lambda _: head.encode() + body


class FakeResolver:
    """`Resolver` from a table; a host with several lists answers the next one each time."""

    def __init__(self, **table: list[list[str]]) -> None:
        self._table = {host.replace("__", "-").replace("_", "."): answers for host, answers in table.items()}
        self.asked: list[str] = []

    def resolve(self, host: str, port: int) -> tuple[Address, ...]:
        self.asked.append(host)
        # An address stands for itself.
        answers = self._table.get(host, [[host]])
        return tuple(map(ip_address, answers.pop(0) if len(answers) > 1 else answers[0]))


class FakeDialer:
    """`Dialer` to whom each address is a server on loopback; nothing ever leaves this machine."""

    def __init__(self, places: dict[str, Canary], every: Canary) -> None:
        self._places = places
        self._every = every
        self.dialled: list[tuple[str, int]] = []

    def dial(self, address: Address, port: int, timeout_s: float) -> httpcore.NetworkStream:
        self.dialled.append((str(address), port))
        server = self._places.get(str(address), self._every)
        return httpcore.SyncBackend().connect_tcp("127.0.0.1", server.port, timeout_s)
