"""The network as `httpcore` is given it: one target, the judged addresses, one deadline for everything."""

import ssl
import time
from collections.abc import Iterable
from typing import Any

import httpcore

from cloud_hub.outbound.addresses import Address
from cloud_hub.outbound.policy import Target
from cloud_hub.outbound.ports import Dialer


class Deadline:
    """A point in time that every wait ends at: a limit on each read alone is no limit on the sum.

    With ``idle_s`` no single wait is longer than that.
    """

    def __init__(self, total_s: float, idle_s: float | None = None) -> None:
        self._end = time.monotonic() + total_s
        self._idle_s = idle_s

    def left(self, most_s: float | None) -> float:
        """Return how long the next step may take; raises `httpcore.ReadTimeout` when time is over."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the request took longer than allowed")
        return min([left, *(bound for bound in (most_s, self._idle_s) if bound is not None)])


class PinnedBackend(httpcore.NetworkBackend):
    """Connects to the judged addresses of ``target`` whatever name it is asked for.

    Host header, SNI and the certificate's check keep the name, since `httpcore` takes them from the URL.
    """

    def __init__(
        self, target: Target, addresses: tuple[Address, ...], dialer: Dialer, deadline: Deadline
    ) -> None:
        self._target = target
        self._addresses = addresses
        self._dialer = dialer
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Dial the judged addresses in order."""
        if (host, port) != (self._target.host, self._target.port) or local_address or socket_options:
            raise httpcore.ConnectError("asked for another target than was judged")
        failure: Exception = httpcore.ConnectError("no address")
        for address in self._addresses:
            try:
                stream = self._dialer.dial(address, port, self._deadline.left(timeout))
            except (httpcore.NetworkError, httpcore.TimeoutException, OSError) as error:
                failure = error
            else:
                return DeadlineStream(stream, self._deadline)
        raise httpcore.ConnectError(type(failure).__name__) from failure


class DeadlineStream(httpcore.NetworkStream):
    """A connection whose every step ends at the deadline."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read at most ``max_bytes``."""
        return self._inner.read(max_bytes, self._deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all of it."""
        self._inner.write(buffer, self._deadline.left(timeout))

    def close(self) -> None:
        """Close."""
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Return the same connection within TLS."""
        inner = self._inner.start_tls(ssl_context, server_hostname, self._deadline.left(timeout))
        return DeadlineStream(inner, self._deadline)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401  httpcore's interface
        """Return what the inner connection knows."""
        return self._inner.get_extra_info(info)
