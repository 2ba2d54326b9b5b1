"""The ports `Resolver` and `Dialer`, and their adapters to the operating system."""

import socket
from typing import Protocol

import httpcore

from cloud_hub.outbound.addresses import Address
from cloud_hub.outbound.policy import address_of


class Resolver(Protocol):
    """Names to addresses."""

    def resolve(self, host: str, port: int) -> tuple[Address, ...]:
        """Return all addresses of a host name or of an address's text; raises `OSError`."""


class Dialer(Protocol):
    """Connections to addresses; a name never comes here."""

    def dial(self, address: Address, port: int, timeout_s: float) -> httpcore.NetworkStream:
        """Return an open TCP connection; raises `httpcore.NetworkError`, `httpcore.TimeoutException`."""


class SystemResolver:
    """`Resolver` by getaddrinfo(3), which also reads forms such as ``127.1`` and ``0x7f000001``."""

    def resolve(self, host: str, port: int) -> tuple[Address, ...]:
        """Return what the system says, in its order, each once."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return tuple(dict.fromkeys(address_of(str(place[0])) for *_, place in found))


class SystemDialer:
    """`Dialer` by the operating system."""

    def dial(self, address: Address, port: int, timeout_s: float) -> httpcore.NetworkStream:
        """Connect."""
        return httpcore.SyncBackend().connect_tcp(str(address), port, timeout_s)
