"""`headland-agent check` on neighbours: what is well, and each fault."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from agent.checks.neighbours import asking, serving
from agent.neighbours.settings import Neighbours
from tests.artifacts.registry import Registry, serve
from tests.neighbours.shop import Device, Shop


def settings_of(device: Device) -> Neighbours:
    return Neighbours(listen=f"127.0.0.1:{device.port}", allow=("cam-2",))


@contextmanager
def another_program(shop: Shop, device: Device) -> Iterator[None]:
    """Something else speaks TLS at the device's port."""
    folder = shop.folder / "other"
    folder.mkdir()
    served = Registry()
    server, _ = serve(served, folder)
    device.port = int(served.url.rsplit(":", 1)[1])
    yield
    server.shutdown()
    server.server_close()


def test_a_port_that_is_served(shop: Shop) -> None:
    device = shop.device("cam-1")
    device.serve("cam-2")
    found = serving(device.identity, settings_of(device))
    assert (found.verdict, found.words) == (
        "ok",
        f"served at 127.0.0.1:{device.port}; devices that may read: 1",
    )


def test_a_port_that_is_free_or_another_programs(shop: Shop) -> None:
    device = shop.device("cam-1")
    assert serving(device.identity, settings_of(device)).verdict == "warning"
    with socket.create_server(("127.0.0.1", device.port)) as silent:
        silent.settimeout(0)
        found = serving(device.identity, settings_of(device))
        assert (found.verdict, "cannot be had" in found.words) == ("failed", True)
    with another_program(shop, device):
        found = serving(device.identity, settings_of(device))
        assert (found.verdict, "another program" in found.words) == ("failed", True)
    elsewhere = Neighbours(listen="192.0.2.1:7443", allow=("cam-2",))
    assert serving(device.identity, elsewhere).verdict == "failed"


def test_neighbours_that_answer_refuse_or_are_off(shop: Shop) -> None:
    first, second, third = (shop.device(f"cam-{number}") for number in (1, 2, 3))
    first.serve("cam-2")
    sources = [first.source, second.source]
    found = asking(second.identity, sources)
    assert (found.verdict, found.words) == ("ok", "neighbours that answer: 1")
    found = asking(third.identity, sources)
    assert found.verdict == "warning"
    assert "cam-1 does not allow this device" in found.words
    assert "cam-2 does not answer (connection refused)" in found.words
