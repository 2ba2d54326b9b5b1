"""The TCP ports of modules: bound once by the agent, handed over to each container in turn.

An agent that was started again takes a port back from the container that holds it, by a copy of its
descriptor (pidfd_getfd(2)): there is one listening socket, whoever lives, and no connection is refused. Where
the kernel does not allow that, the module has to stop before its next version can have the port.
"""

import contextlib
import ctypes
import errno
import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from agent.endpoints.listeners import BACKLOG, EndpointError
from contract.access import Port

SYS_PIDFD_GETFD: Final = 438  # the same on all architectures
Place = tuple[str, int]

_libc = ctypes.CDLL(None, use_errno=True)


class PortBusyError(EndpointError):
    """A port that a module asks for is in use."""

    code = "port-busy"
    retriable = True


class Ports:
    """The listening sockets of all modules' ports, made when first asked for."""

    def __init__(self) -> None:
        self._held: dict[Place, tuple[str, socket.socket]] = {}

    def get(self, module: str, ports: Iterable[Port]) -> dict[str, int]:
        """Return the descriptors of the ports of ``module`` by name; raises `PortBusyError`."""
        found, made = {}, []
        try:
            for port in ports:
                owner, listener = self._held.get(port.place, ("", None))
                if owner not in {"", module}:
                    raise _busy(port, f"module {owner} has it")
                if listener is None:
                    listener = _bind(port)
                    self._held[port.place] = (module, listener)
                    made.append(port.place)
                found[port.name] = listener.fileno()
        except PortBusyError:
            for place in made:  # nobody serves them: whoever comes shall be refused, not wait
                self._held.pop(place)[1].close()
            raise
        return found

    def take_back(self, module: str, ports: Iterable[Port], pid: int) -> bool:
        """Have what the process ``pid`` of ``module`` listens on; return whether all of it is ours now."""
        missing = {port.place for port in ports} - self._held.keys()
        if not missing:
            return True
        for listener in _listening(pid):
            place = listener.getsockname()[:2]
            if place in missing:
                missing.discard(place)
                self._held[place] = (module, listener)
            else:
                listener.close()
        return not missing

    def keep(self, module: str, wanted: Iterable[Port]) -> None:
        """Let go of the ports of ``module`` but those."""
        places = {port.place for port in wanted}
        for place in [place for place, (owner, _) in self._held.items() if owner == module]:
            if place not in places:
                self._held.pop(place)[1].close()

    def close(self) -> None:
        """Close our copies; containers go on serving."""
        for _, listener in self._held.values():
            listener.close()
        self._held.clear()


def _bind(port: Port) -> socket.socket:
    family = socket.AF_INET6 if ":" in port.address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(port.place)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise _busy(port, "another program of this device has it") from error
        raise _busy(port, error.strerror or type(error).__name__) from error
    return listener


def _busy(port: Port, reason: str) -> PortBusyError:
    return PortBusyError(
        f"cannot be bound: {reason}",
        where=f"port {port.port} at {port.address}",
        fix="End what has it, or ask for another port; it is tried again.",
    )


def _listening(pid: int) -> list[socket.socket]:
    """Return copies of the TCP sockets that a process listens on; none where the kernel gives none."""
    found: list[socket.socket] = []
    with contextlib.suppress(OSError):
        process = os.pidfd_open(pid)
        try:
            for entry in sorted(Path(f"/proc/{pid}/fd").iterdir()):
                with contextlib.suppress(OSError):
                    if str(entry.readlink()).startswith("socket:"):
                        found += _copied(process, int(entry.name))
        finally:
            os.close(process)
    return found


def _copied(process: int, descriptor: int) -> list[socket.socket]:
    copy = _libc.syscall(SYS_PIDFD_GETFD, process, descriptor, 0)
    if copy < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    held = socket.socket(fileno=copy)  # the kernel made it close-on-exec
    internet = held.family in {socket.AF_INET, socket.AF_INET6} and held.type == socket.SOCK_STREAM
    if internet and held.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return [held]
    held.close()
    return []
