"""The hub's listener: what is answered goes out at once, and what is idle is not closed under a client."""

import socket
from pathlib import Path

import httpx

from cloud_hub.api.server import KEEP_ALIVE_S
from cloud_hub.app import bound
from cloud_hub.settings import Settings
from simulators.demo.stage import free_port


def without_delay(listener: socket.socket) -> bool:
    """Has a connection that it accepts TCP_NODELAY?"""
    with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
        return bool(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


def test_what_is_accepted_sends_at_once(tmp_path: Path) -> None:
    with bound(Settings(data_dir=tmp_path, https_port=free_port())) as listener:
        assert without_delay(listener)


def test_a_plain_listener_would_wait() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert not without_delay(listener)


def test_a_client_ends_an_idle_connection_before_the_hub_does() -> None:
    # The other way round a request goes out over a connection that is being closed, and fails.
    kept_s = httpx.Limits().keepalive_expiry
    assert kept_s is not None
    assert kept_s < KEEP_ALIVE_S / 2
