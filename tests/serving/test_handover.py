"""An update under load: two versions on one listening socket, and no request is refused.

Clients here never repeat a request: whatever goes wrong for one of them is a failure that counts.
"""

import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.serving.conftest import Client, Server, Servers, eventually, infer_body
from tests.serving.fake_agent import FakeAgent

Pixels = NDArray[np.float32]
INFER = "/v2/models/digits/infer"
LIVE = b"GET /v2/health/live HTTP/1.1\r\n\r\n"


class Load:
    """Keep-alive clients that ask again and again until told to stop."""

    def __init__(self, address: Any, pixels: Pixels, pauses_s: tuple[float, ...]) -> None:
        self.versions: Counter[str] = Counter()
        self.sent: list[str] = []
        self.failures: list[str] = []
        self._address = address
        self._rows = pixels[:1]
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(number, pause_s))
            for number, pause_s in enumerate(pauses_s)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, version: str, count: int) -> None:
        eventually(
            lambda: self.versions[version] >= count or bool(self.failures), f"version {version} answers"
        )

    def _ask(self, number: int, pause_s: float) -> None:
        client: Client | None = None
        asked = 0
        while not self._stop.wait(pause_s):
            name = f"{number}-{asked}"
            asked += 1
            try:
                client = client or Client(self._address)
                reply = client.ask("POST", INFER, infer_body(self._rows, id=name))
                assert reply.json["id"] == name
                self.sent.append(name)
                self.versions[reply.json["model_version"]] += 1
                if reply.headers.get("connection") == "close":
                    client.close()
                    client = None
            except OSError as error:
                self.failures.append(f"{name}: {error!r}")
                if client is not None:
                    client.close()
                client = None
        if client is not None:
            client.close()


PAUSES_S = (0, 0, 0, 0.001, 0.05, 0.2)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[FakeAgent]:
    made = FakeAgent(tmp_path / "agent").start()
    yield made
    made.stop()


def start(servers: Servers, listener: socket.socket, digits: Path, version: str, **env: str) -> Server:
    more = {"HEADLAND_MODEL_VERSION": version, "HEADLAND_DRAIN_IDLE_S": "1"} | env
    return servers.start(listener, digits, env=more)


@pytest.mark.parametrize("family", ["unix", "tcp"])
def test_updates_under_load_lose_no_request_and_no_sample(
    servers: Servers, digits: Path, pixels: Pixels, agent: FakeAgent, family: str
) -> None:
    listener = servers.listen(family)
    env = {"HEADLAND_AGENT_SOCKET": str(agent.path)}
    old = start(servers, listener, digits, "1", **env)
    load = Load(listener.getsockname(), pixels, PAUSES_S)
    try:
        load.wait_for("1", 200)
        for version in ("2", "3"):
            new = start(servers, listener, digits, version, **env)
            old.process.send_signal(signal.SIGTERM)
            assert old.wait_exit() == 0
            load.wait_for(version, 200)
            old = new
    finally:
        load.stop()
    assert load.failures == []
    assert set(load.versions) == {"1", "2", "3"}
    eventually(lambda: sum(agent.request_ids.values()) >= len(load.sent), "every sample arrives")
    assert agent.request_ids == Counter(load.sent)


def test_updates_on_several_sockets_lose_no_request_on_any(
    servers: Servers, digits: Path, pixels: Pixels
) -> None:
    own, port = servers.listen("unix"), servers.listen("tcp")
    env = {"HEADLAND_MODEL_VERSION": "1", "HEADLAND_DRAIN_IDLE_S": "1"}
    old = servers.start(own, digits, env=env, ports=[port])
    loads = [Load(listener.getsockname(), pixels, (0, 0.01)) for listener in (own, port)]
    try:
        for load in loads:
            load.wait_for("1", 50)
        servers.start(own, digits, env=env | {"HEADLAND_MODEL_VERSION": "2"}, ports=[port])
        old.process.send_signal(signal.SIGTERM)
        assert old.wait_exit() == 0
        for load in loads:
            load.wait_for("2", 50)
    finally:
        for load in loads:
            load.stop()
    assert [load.failures for load in loads] == [[], []]


def test_a_kill_under_load_does_lose_requests(servers: Servers, digits: Path, pixels: Pixels) -> None:
    """The control: the load sees it when a server ends without a drain."""
    listener = servers.listen()
    old = start(servers, listener, digits, "1")
    load = Load(listener.getsockname(), pixels, PAUSES_S)
    try:
        load.wait_for("1", 200)
        start(servers, listener, digits, "2")
        old.process.kill()
        old.wait_exit()
        eventually(lambda: bool(load.failures), "a failure")
    finally:
        load.stop()
    assert load.failures


def test_closing_idle_connections_at_once_does_lose_requests(
    servers: Servers, digits: Path, pixels: Pixels
) -> None:
    """The other control: without time for one more request, a keep-alive client's next one breaks."""
    listener = servers.listen()
    old = start(servers, listener, digits, "1", HEADLAND_DRAIN_IDLE_S="0")
    load = Load(listener.getsockname(), pixels, (0.05, 0.05))
    try:
        load.wait_for("1", 4)
        start(servers, listener, digits, "2")
        old.process.send_signal(signal.SIGTERM)
        assert old.wait_exit() == 0
        eventually(lambda: load.versions["2"] > 0, "version 2 answers")
    finally:
        load.stop()
    assert load.failures


def drain_of(servers: Servers, digits: Path, **env: str) -> Server:
    return start(servers, servers.listen(), digits, "1", **env)


def begin_drain(server: Server) -> None:
    server.process.send_signal(signal.SIGTERM)
    eventually(lambda: "draining" in server.log, "the drain begins")


def test_what_a_drain_does_with_each_kind_of_connection(servers: Servers, digits: Path) -> None:
    server = drain_of(servers, digits, HEADLAND_DRAIN_IDLE_S="0.5")
    busy, half, idle, pipelined = (servers.connect(server) for _ in range(4))
    for client in (busy, half, idle, pipelined):
        assert client.ask("GET", "/v2/health/live").status == 200
    half.send(LIVE[:-2])
    begin_drain(server)
    reply = busy.ask("GET", "/v2/health/live")
    assert (reply.status, reply.headers["connection"]) == (200, "close")
    assert busy.at_end()
    pipelined.send(LIVE * 3)
    replies = [pipelined.read() for _ in range(3)]
    assert [reply.headers.get("connection") for reply in replies] == [None, None, "close"]
    assert idle.at_end()  # after its half second
    with pytest.raises(BrokenPipeError):
        idle.send(LIVE)  # a Unix socket says at once that nobody will read it
    assert server.process.poll() is None  # half a request is waited for
    half.send(LIVE[-2:])
    assert half.read().headers["connection"] == "close"
    half.close()
    busy.close()
    pipelined.close()
    assert server.wait_exit() == 0


def test_a_drain_takes_in_what_waits_in_the_backlog(servers: Servers, digits: Path) -> None:
    server = drain_of(servers, digits)
    server.process.send_signal(signal.SIGSTOP)
    waiting = [servers.connect(server) for _ in range(20)]
    for client in waiting:
        client.send(LIVE)
    server.process.send_signal(signal.SIGTERM)
    server.process.send_signal(signal.SIGCONT)
    for client in waiting:
        assert client.read().status == 200
        client.close()
    assert server.wait_exit() == 0


def test_a_drain_leaves_the_listening_socket_to_others(servers: Servers, digits: Path) -> None:
    listener = servers.listen()
    old = start(servers, listener, digits, "1", HEADLAND_DRAIN_IDLE_S="0")
    old.process.send_signal(signal.SIGTERM)
    assert old.wait_exit() == 0
    between = servers.connect(old)  # nobody accepts now, and nobody refuses
    between.send(LIVE)
    start(servers, listener, digits, "2")
    assert between.read().status == 200


def test_a_drain_has_an_end(servers: Servers, digits: Path) -> None:
    server = drain_of(servers, digits, HEADLAND_STOP_GRACE_S="0.6")
    half = servers.connect(server)
    half.send(LIVE[:-2])
    assert servers.connect(server).ask("GET", "/v2/health/live").status == 200
    began_at = time.monotonic()
    begin_drain(server)
    assert server.wait_exit() == 0
    assert 0.4 < time.monotonic() - began_at < 3
    assert "1 connections were not finished in time" in server.log
    assert half.at_end()
