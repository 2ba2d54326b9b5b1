"""Connections for HTTPS, HTTP and MQTT, through a proxy where one is set (CONNECT, RFC 9110, 9.3.6)."""

import base64
import http.client
import socket
import ssl
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from agent.errors import SettingsError
from agent.network.bypass import bypassed
from agent.network.proxies import Proxy

MAX_ANSWER_BYTES: Final = 16 * 1024
MAX_CREDENTIALS_BYTES: Final = 1024
OTHERS: Final = stat.S_IRWXO


class ProxyError(OSError):
    """The proxy did not let us through; the words are its status alone."""


@dataclass(frozen=True)
class Exchange:
    """A connection for one request: what stands before the path, and headers for the proxy."""

    connection: http.client.HTTPConnection
    prefix: str = ""
    headers: dict[str, str] = field(default_factory=dict, repr=False)


class Network:
    """How hosts are reached."""

    def __init__(self, settings: Proxy | None = None, authorization: str = "") -> None:
        self._settings = settings or Proxy()
        self._authorization = authorization

    def first_host(self, host: str) -> str:
        """Return the host that is connected to for TLS to ``host``: the proxy, or that host."""
        proxy = self._proxy(self._settings.https, host)
        return host if proxy is None else proxy.hostname or ""

    def tcp(self, host: str, port: int, timeout_s: float) -> socket.socket:
        """Return a connection for TLS to ``host``, through the proxy for https where it is for that host."""
        proxy = self._proxy(self._settings.https, host)
        if proxy is None:
            found = socket.create_connection((host, port), timeout_s)
        else:
            found = socket.create_connection((proxy.hostname, proxy.port), timeout_s)
            try:
                self._tunnel(found, host, port)
            except BaseException:
                found.close()
                raise
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return found

    def exchange(self, url: SplitResult, context: ssl.SSLContext | None, timeout_s: float) -> Exchange:
        """Return a connection for a request to ``url``; one with http takes the proxy for http."""
        host = url.hostname or ""
        if url.scheme != "http":
            return Exchange(_Https(self, host, url.port or 443, context, timeout_s))
        proxy = self._proxy(self._settings.http, host)
        if proxy is None:
            return Exchange(http.client.HTTPConnection(host, url.port, timeout=timeout_s))
        connection = http.client.HTTPConnection(proxy.hostname or "", proxy.port, timeout=timeout_s)
        return Exchange(connection, f"http://{url.netloc}", self._headers())

    def trust(self, context: ssl.SSLContext, host: str) -> None:
        """Let ``context`` believe the CA of an intercepting proxy, where ``host`` is reached through it."""
        if self._settings.ca_file and self._proxy(self._settings.https, host) is not None:
            load_ca(context, self._settings.ca_file, "proxy.ca_file")

    def _proxy(self, address: str, host: str) -> SplitResult | None:
        return urlsplit(address) if address and not bypassed(host, self._settings.no_proxy) else None

    def _headers(self) -> dict[str, str]:
        return {"Proxy-Authorization": self._authorization} if self._authorization else {}

    def _tunnel(self, through: socket.socket, host: str, port: int) -> None:
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
        lines += [f"{name}: {value}" for name, value in self._headers().items()]
        through.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        status = _answer(through).split(b"\r\n", 1)[0].split(b" ")
        if len(status) < 2 or not status[0].startswith(b"HTTP/1.") or not status[1].isdigit():
            raise ProxyError("what the proxy answered is no HTTP")
        if not 200 <= int(status[1]) < 300:
            raise ProxyError(f"the proxy answered {int(status[1])}")


class _Https(http.client.HTTPSConnection):
    """HTTPS over a connection of a `Network`."""

    def __init__(
        self, network: Network, host: str, port: int, context: ssl.SSLContext | None, timeout_s: float
    ) -> None:
        self._network = network
        self._tls = context or ssl.create_default_context()
        self._timeout_s = timeout_s
        super().__init__(host, port, context=self._tls, timeout=timeout_s)

    def connect(self) -> None:
        """Connect, and shake hands with the host itself."""
        plain = self._network.tcp(self.host, self.port, self._timeout_s)
        try:
            self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise


DIRECT: Final = Network()


def open_network(settings: Proxy) -> Network:
    """Read what the settings name; raises `SettingsError`."""
    if settings.ca_file:
        load_ca(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), settings.ca_file, "proxy.ca_file")
    if not settings.credentials_file:
        return Network(settings)
    path = Path(settings.credentials_file)
    try:
        mode = path.stat().st_mode
        data = path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"the proxy's credentials cannot be read ({error.strerror})",
            where=str(path),
            fix="Correct proxy.credentials_file.",
        ) from error
    line = data.strip()
    wrong = ""
    if mode & OTHERS:
        wrong = "the proxy's credentials can be read by everybody"
    elif b":" not in line or len(line.splitlines()) != 1 or len(data) > MAX_CREDENTIALS_BYTES:
        wrong = "the proxy's credentials are not one line user:password"
    if wrong:
        raise SettingsError(
            wrong, where=str(path), fix="Write user:password into it, and set its mode to 0600."
        )
    return Network(settings, f"Basic {base64.b64encode(line).decode()}")


def load_ca(context: ssl.SSLContext, path: str, key: str) -> None:
    """Let ``context`` believe the certificates in ``path``, as the setting ``key`` says; `SettingsError`."""
    try:
        context.load_verify_locations(path)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"the certificates of a CA cannot be read ({error})", where=path, fix=f"Correct {key}."
        ) from error


def _answer(through: socket.socket) -> bytes:
    """Read the head of the proxy's answer, and nothing behind it: that is the other side's."""
    head = bytearray()
    while not head.endswith(b"\r\n\r\n"):
        byte = through.recv(1)
        if not byte or len(head) >= MAX_ANSWER_BYTES:
            raise ProxyError("the proxy broke off")
        head += byte
    return bytes(head)
