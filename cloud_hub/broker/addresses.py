"""Addresses to listen on: free ports, and a clear word where one cannot be had."""

import errno
import socket

from cloud_hub.broker.errors import AddressUnavailableError


def free_port(host: str, port: int, *, what: str) -> int:
    """Return ``port``, or a free one for 0, after binding it to see that it can be had.

    Another process may still take it before the server does. Raises `AddressUnavailableError`.
    """
    where = f"{what} {host}:{port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            # SO_REUSEADDR lets a bind pass beside a listening socket on some systems; listening is the proof.
            probe.listen(1)
            return int(probe.getsockname()[1])
    except OSError as error:
        raise AddressUnavailableError(_reason(error), where=where, fix=_fix(error)) from error


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "the host name has no address"
    return f"cannot listen there ({error.strerror})"


def _fix(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "Stop the program that listens there, or set another port."
    if error.errno == errno.EACCES:
        return "Set a port from 1024, or allow the hub's user to bind low ports."
    return "Set an address of this machine, or 0.0.0.0 for all of them."
