"""The hub's listener: an answer's body is not held back until its head is acknowledged."""

import socket
from pathlib import Path

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
