"""Moments of a drain that cannot be hit from outside: what arrives just before it is still served."""

import asyncio
import socket
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from modules.serving.acceptor import Acceptor
from modules.serving.http import Connection, ServerState
from modules.serving.routes import Routes
from modules.serving.samples import Origin
from modules.serving.script import Script

LIVE = b"GET /v2/health/live HTTP/1.1\r\n\r\n"


def run(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(main, 10))


def routes() -> Routes:
    return Routes(Script(lambda raw_data: raw_data), Origin("m", "d", "1", "i"), None)


async def read_all(client: socket.socket) -> bytes:
    """Read to the end, then close, as a client does that was told to."""
    client.setblocking(False)
    loop, parts = asyncio.get_running_loop(), []
    while part := await loop.sock_recv(client, 65536):
        parts.append(part)
    client.close()
    return b"".join(parts)


@pytest.mark.parametrize("family", ["unix", "tcp"])
def test_a_request_that_arrives_as_idle_connections_end_is_answered(family: str) -> None:
    async def main() -> None:
        if family == "unix":
            accepted, client = socket.socketpair()
        else:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                client = socket.create_connection(listener.getsockname())
                accepted, _ = listener.accept()
        accepted.setblocking(False)
        state = ServerState(1000, 60.0, draining=True)
        _, connection = await asyncio.get_running_loop().connect_accepted_socket(
            lambda: Connection(accepted, routes(), state), accepted
        )
        assert state.connections == {connection}
        client.sendall(LIVE)
        connection.end_idle()
        answer = await read_all(client)
        assert b'{"live":true}' in answer
        assert b"Connection: close" in answer
        await state.none_open.wait()

    run(main())


def test_a_connection_in_the_backlog_is_taken_in_by_the_stop(tmp_path: Path) -> None:
    async def main() -> None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        listener.setblocking(False)
        state = ServerState(1000, 60.0)
        acceptor = Acceptor(listener, lambda accepted: Connection(accepted, routes(), state))
        acceptor.start()
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(tmp_path / "s"))
        client.sendall(LIVE)
        state.draining = True
        await acceptor.stop()
        assert listener.fileno() == -1
        assert b'{"live":true}' in await read_all(client)
        await state.none_open.wait()

    run(main())
