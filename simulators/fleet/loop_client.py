"""The agent's MQTT client on an event loop: thousands in one process, and no try waits for another one.

paho's external loop does the protocol (`loop_read`, `loop_write`, `loop_misc`). Its own connecting blocks, so
the connection and the TLS handshake are made here, and handed to it when they stand.
"""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Callable
from random import Random
from typing import Any, Final

from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTErrorCode

from agent.transport.paho_client import CONNECT_TIMEOUT_S, UNACKNOWLEDGED_MS, PahoClient
from simulators.fleet.journal import Journal
from simulators.fleet.link import Link

LOOK_S: Final = 1.0
"""As often as the agent's own thread looks after its keep-alive at the least."""
REFUSED: Final = "refused, or ended before the broker answered"
Addresses = dict[tuple[str, int], list[tuple[socket.AddressFamily, tuple[str, int]]]]
_known: Addresses = {}


class LoopClient(PahoClient):
    """One client of the running event loop; what it does is written to ``journal``.

    ``first_wait_s`` is how long it waits before its first try. It reaches nobody while its ``link`` is down.
    """

    def __init__(
        self,
        *arguments: object,
        journal: Journal,
        chance: Random,
        link: Link,
        first_wait_s: float = 0.0,
        **named: object,
    ) -> None:
        super().__init__(*arguments, **named)
        self._journal, self._chance, self._first_wait_s = journal, chance, first_wait_s
        self._link = link
        link.on_down = self.cut
        self._events = asyncio.get_running_loop()
        self._now = asyncio.Event()
        self._gone = asyncio.Event()
        self._ready: ssl.SSLSocket | None = None
        self._keeping: asyncio.Task[None] | None = None
        self.on_socket_open = self._opened  # type: ignore[assignment]  # paho's decorators
        self.on_socket_close = self._closed  # type: ignore[assignment]
        self.on_socket_register_write = self._wants_to_write  # type: ignore[assignment]
        self.on_socket_unregister_write = self._has_written  # type: ignore[assignment]

    def loop_start(self) -> MQTTErrorCode:
        """Connect and keep connecting, in a task."""
        self._keeping = self._events.create_task(self._keep_connected())
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def end(self) -> None:
        """Say goodbye, as far as that can be said at once."""
        if self._keeping is not None:
            self._keeping.cancel()
        if self.socket() is not None:
            self.disconnect()
            self.loop_write()
            self._sock_close()

    def hurry(self) -> None:
        """Do not wait for the next try."""
        self._now.set()

    def came(self) -> None:
        """The broker let us in."""
        super().came()
        self._journal.connected(self._events.time())

    def went(self) -> None:
        """A connection that stood is gone."""
        super().went()
        self._journal.lost(self._events.time())

    async def _keep_connected(self) -> None:
        await asyncio.sleep(self._first_wait_s)
        while True:
            self._gone.clear()
            try:
                await self._try_once()
            except OSError as error:
                self._journal.failed(type(error).__name__)
            else:
                await self._gone.wait()
                if not self._journal.last_try_stood:
                    self._journal.failed(REFUSED)
            self._now.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.wait_before_next_s()):
                    await self._now.wait()

    def wait_before_next_s(self) -> float:
        """Return the wait before the next try: the agent's."""
        return self.next_wait_s(self._chance.random())

    async def _try_once(self) -> None:
        self._journal.tries(self._events.time())
        self._ready = await self._dial()
        try:
            self.reconnect()
        finally:
            self._ready = None
        # At once: the broker waits a few seconds for it, and this loop may be behind with other devices.
        self.loop_write()
        self._events.call_later(LOOK_S, self._look, self.socket())

    async def _dial(self) -> ssl.SSLSocket:
        """Return a connection over which TLS stands; raises `OSError`, with its `TimeoutError`."""
        if self._ssl_context is None:
            raise ssl.SSLError("a device speaks TLS alone")
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            plain = await self._reach()
            try:
                line = self._ssl_context.wrap_socket(
                    plain, server_hostname=self._host, do_handshake_on_connect=False
                )
            except BaseException:
                plain.close()
                raise
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._shake_hands(line)
        except BaseException:
            line.close()
            raise
        return line

    async def _reach(self) -> socket.socket:
        if not self._link.up:
            raise ConnectionError(errno.ENETUNREACH, "the link is down")
        for family, address in await self._addresses():
            plain = socket.socket(family, socket.SOCK_STREAM)
            try:
                plain.setblocking(False)
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
                await self._events.sock_connect(plain, address)
            except OSError as error:
                plain.close()
                refused = error
            except BaseException:
                plain.close()
                raise
            else:
                return plain
        raise refused

    async def _addresses(self) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
        """Look a host up once in each process: it is the fleet that is tried, not the resolver."""
        key = (self._host, self._port)
        if key not in _known:
            found = await self._events.getaddrinfo(*key, type=socket.SOCK_STREAM)
            _known[key] = [(entry[0], entry[4]) for entry in found]  # type: ignore[misc]
        return _known[key]

    async def _shake_hands(self, line: ssl.SSLSocket) -> None:
        while True:
            try:
                line.do_handshake()
            except ssl.SSLWantReadError:
                await self._ready_for(line, self._events.add_reader, self._events.remove_reader)
            except ssl.SSLWantWriteError:
                await self._ready_for(line, self._events.add_writer, self._events.remove_writer)
            else:
                return

    async def _ready_for(
        self, line: ssl.SSLSocket, add: Callable[..., Any], remove: Callable[[ssl.SSLSocket], bool]
    ) -> None:
        ready = self._events.create_future()
        add(line, _settle, ready)
        try:
            await ready
        finally:
            remove(line)

    def _create_socket(self) -> ssl.SSLSocket:
        if self._ready is None:
            raise ConnectionError("no connection was made")
        return self._ready

    def _look(self, line: object) -> None:
        if line is not None and self.socket() is line:
            # First what came: where this loop is behind, an answer to a ping may lie there since long.
            self._readable()
            self.loop_misc()
            self._events.call_later(LOOK_S, self._look, line)

    def _readable(self) -> None:
        self.loop_read()
        # What TLS has read already does not make the socket readable again.
        while isinstance(line := self.socket(), ssl.SSLSocket) and line.pending():
            self.loop_read()

    def _opened(self, _client: Client, _data: object, line: ssl.SSLSocket) -> None:
        self._events.add_reader(line, self._readable)

    def _closed(self, _client: Client, _data: object, line: ssl.SSLSocket) -> None:
        self._events.remove_reader(line)
        self._events.remove_writer(line)
        self._gone.set()

    def _wants_to_write(self, _client: Client, _data: object, line: ssl.SSLSocket) -> None:
        self._events.add_writer(line, self.loop_write)

    def _has_written(self, _client: Client, _data: object, line: ssl.SSLSocket) -> None:
        self._events.remove_writer(line)


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
