"""The port where neighbours ask: bound when its address is there; few connections, none for ever."""

import contextlib
import logging
import socket
import ssl
import threading
from collections import Counter
from http import HTTPStatus
from typing import Final

from agent.artifacts.delta import Savings
from agent.artifacts.store import ContentStore
from agent.identity.store import Identity
from agent.neighbours.certificates import name_in, serving_context
from agent.neighbours.giving import Giver, Limits
from agent.neighbours.settings import Neighbours
from agent.neighbours.shelf import FolderShelf

log = logging.getLogger(__name__)

BACKLOG: Final = 64


class Seats:
    """Lets in so many requests at a time, and so many of one device; safe to use from several threads."""

    def __init__(self, all_of_them: int, of_one: int) -> None:
        self._all, self._one = all_of_them, of_one
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()

    def take(self, device: str) -> bool:
        """Take a seat, if there is one."""
        with self._lock:
            if self._taken.total() >= self._all or self._taken[device] >= self._one:
                return False
            self._taken[device] += 1
            return True

    def leave(self, device: str) -> None:
        """Give it back."""
        with self._lock:
            self._taken[device] -= 1


class NeighbourServer:
    """Serves what the shelf and the store have, from `start` until `close`."""

    def __init__(
        self,
        settings: Neighbours,
        identity: Identity,
        store: ContentStore,
        shelf: FolderShelf,
        savings: Savings,
        limits: Limits | None = None,
    ) -> None:
        self._settings, self._identity = settings, identity
        self._shelf = shelf
        self._allowed = frozenset(settings.allow)
        self._stopping = threading.Event()
        self._limits = limits = limits or Limits()
        self._giver = Giver(store, shelf, savings, settings.max_bytes_per_s, limits, self._stopping)
        self._seats = Seats(limits.requests, limits.of_one)
        self._places = threading.BoundedSemaphore(limits.connections)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._strangers: set[str] = set()
        self._listener: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="neighbours", daemon=True)

    def start(self) -> None:
        """Begin; the address may come later: a device starts without a network."""
        self._thread.start()

    def close(self) -> None:
        """Hang up on everybody."""
        self._stopping.set()
        with self._lock:
            ends = [*self._open, *([self._listener] if self._listener else [])]
        for end in ends:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(end, socket.SHUT_RDWR)
        if self._thread.is_alive():
            self._thread.join()

    def kept_bytes(self) -> int:
        """Return what the shelf has."""
        return self._shelf.size_bytes()

    def _run(self) -> None:
        told = ""
        while not self._stopping.is_set():
            try:
                with self._bind() as listener:
                    log.info("layers are given to neighbours at %s", self._settings.listen)
                    self._accept(listener)
            except OSError as error:
                if str(error) != told and not self._stopping.is_set():
                    told = str(error)
                    log.warning("neighbours cannot be served at %s yet: %s", self._settings.listen, told)
            self._stopping.wait(self._limits.bind_again_s)

    def _bind(self) -> socket.socket:
        host, port = self._settings.address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
        with self._lock:
            self._listener = listener
        return listener

    def _accept(self, listener: socket.socket) -> None:
        while not self._stopping.is_set():
            self._places.acquire()
            try:
                connection, _ = listener.accept()
                with self._lock:
                    self._open.add(connection)
                threading.Thread(
                    target=self._serve, args=(connection,), name="neighbour", daemon=True
                ).start()
            except BaseException:
                self._places.release()
                raise

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.settimeout(self._limits.handshake_s)
            # Made anew each time: a certificate that was exchanged meanwhile is shown to the next one.
            context = serving_context(self._identity)
            with context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as line:
                with self._lock:
                    self._open.add(line)
                try:
                    line.do_handshake()
                    self._answer(line)
                finally:
                    with self._lock:
                        self._open.discard(line)
        except OSError as error:
            log.debug("a neighbour was hung up on: %s", error)
        except Exception:
            log.exception("a neighbour could not be answered")
        finally:
            connection.close()
            with self._lock:
                self._open.discard(connection)
            self._places.release()

    def _answer(self, line: ssl.SSLSocket) -> None:
        device = name_in(line.getpeercert())
        if device not in self._allowed:
            self._tell_of(device)
            self._giver.answer(line, HTTPStatus.FORBIDDEN)
            return
        taken = self._seats.take(device)
        try:
            self._giver.answer(line, None if taken else HTTPStatus.SERVICE_UNAVAILABLE)
        finally:
            if taken:
                self._seats.leave(device)

    def _tell_of(self, device: str) -> None:
        """Log each device that is not allowed once: names are the hub's, so there are not many."""
        with self._lock:
            new = device not in self._strangers
            self._strangers.add(device)
        if new:
            log.warning("%r asked for layers, and is not in neighbours.allow", device)
