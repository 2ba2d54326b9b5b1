"""A broker that lets a device in and then does what the test wants: as little of MQTT 3.1.1 as that takes."""

import contextlib
import socket
import ssl
import threading
import time
from pathlib import Path

from cloud_hub.pki.authority import Authority

CONNECT, PUBLISH, PINGREQ, SUBSCRIBE, DISCONNECT = 1, 3, 12, 8, 14


class Broker:
    """Listens on ``port`` of the loopback; ``silent``: after the first answer nothing more is said.

    ``receipts``: what is published is acknowledged (QoS 1). ``heard``: topics with when they were published,
    and ``tries``: when somebody knocked, both by the monotonic clock. ``refuse``: nobody gets in.
    """

    def __init__(self, authority: Authority, folder: Path, *, silent: bool, receipts: bool = False) -> None:
        key, certificate = authority.issue_server(["localhost"])
        (folder / "broker-key.pem").write_bytes(key)
        (folder / "broker.pem").write_bytes(certificate)
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(folder / "broker.pem", folder / "broker-key.pem")
        self._silent, self._receipts = silent, receipts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lines: list[socket.socket] = []
        self.port = int(self._listener.getsockname()[1])
        self.connections = 0
        self.published: list[int] = []
        self.heard: list[tuple[float, str]] = []
        self.tries: list[float] = []
        self.refuse = False
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End every connection."""
        lines, self._lines = self._lines, []
        for line in lines:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let nobody in any more."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            self.tries.append(time.monotonic())
            if self.refuse:
                line.close()
                continue
            try:
                served = self._context.wrap_socket(line, server_side=True)
            except OSError:
                line.close()
                continue
            self._lines.append(served)
            threading.Thread(target=self._serve, args=(served,), daemon=True).start()

    def _serve(self, line: ssl.SSLSocket) -> None:
        with line, contextlib.suppress(OSError), line.makefile("rb") as packets:
            while head := packets.read(1):
                size, shift = 0, 0
                while (byte := packets.read(1)[0]) & 0x80:
                    size, shift = size | (byte & 0x7F) << shift, shift + 7
                body = packets.read(size | byte << shift)
                kind = head[0] >> 4
                if kind == CONNECT:
                    self.connections += 1
                    line.sendall(b"\x20\x02\x00\x00")
                elif kind == PUBLISH:
                    self.published.append(self.connections)
                    end = 2 + int.from_bytes(body[:2], "big")
                    self.heard.append((time.monotonic(), body[2:end].decode()))
                    if self._receipts:
                        line.sendall(b"\x40\x02" + body[end : end + 2])
                elif kind == PINGREQ and not self._silent:
                    line.sendall(b"\xd0\x00")
                elif kind == DISCONNECT:
                    return
