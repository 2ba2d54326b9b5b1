"""The connection to the broker over a link that is dead: noticed, left, and made again."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import MQTTErrorCode

from agent.transport.mqtt import MqttTransport
from agent.transport.paho_client import PahoClient
from contract.messages import Ack, Hello
from tests.clock.broker import Broker
from tests.e2e.waiting import wait_until
from tests.machine.device import Enrolled

HELLO = Hello(generation=1, agent_version="1", driver="process")


class Core:
    """What the transport tells; it says nothing of itself."""

    def __init__(self) -> None:
        self.connections = 0

    def connected(self) -> None:
        """Count it."""
        self.connections += 1

    def desired_arrived(self, envelope: bytes) -> None:
        """Not in these tests."""

    def ack_arrived(self, ack: Ack) -> None:
        """Not in these tests."""


Make = Callable[..., tuple[Broker, MqttTransport, Core]]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """A maker of a broker and a transport that is connected to it."""
    made: list[tuple[Broker, MqttTransport]] = []
    device = Enrolled(tmp_path / "d")

    def one(
        *, silent: bool, keepalive_s: int = 60, make_client: type[PahoClient] = PahoClient
    ) -> tuple[Broker, MqttTransport, Core]:
        broker, core = Broker(device.authority, tmp_path, silent=silent), Core()
        tls = device.enrol().tls_context()
        transport = MqttTransport(
            "cam-1", "localhost", broker.port, tls, keepalive_s=keepalive_s, make_client=make_client
        )
        transport.start(core)
        made.append((broker, transport))
        wait_until(transport.is_connected, "it is connected")
        return broker, transport, core

    yield one
    for broker, transport in made:
        transport.stop()
        broker.close()


def test_a_connection_on_which_nothing_comes_is_left_for_another(make: Make) -> None:
    broker, _, _ = make(silent=True, keepalive_s=1)
    wait_until(lambda: broker.connections >= 2, "it connects again")


def test_negative_control_one_on_which_the_broker_answers_stays(make: Make) -> None:
    broker, transport, _ = make(silent=False, keepalive_s=1)
    time.sleep(4)
    assert broker.connections == 1
    assert transport.is_connected()


def said_after_a_cut(make: Make, make_client: type[PahoClient] = PahoClient) -> int:
    """Say something that is not acknowledged, cut the line; return how much is said after it is back."""
    broker, transport, core = make(silent=True, make_client=make_client)
    for _ in range(5):
        transport.send_hello(HELLO)
    wait_until(lambda: broker.published == [1] * 5, "it arrives")
    broker.cut()
    wait_until(lambda: core.connections == 2, "it connects again")
    transport.send_hello(HELLO)
    wait_until(lambda: 2 in broker.published, "it is used again")
    time.sleep(0.5)
    return broker.published.count(2)


def test_after_a_cut_only_what_the_agent_says_again_is_said(make: Make) -> None:
    assert said_after_a_cut(make) == 1


class Repeating(PahoClient):
    """paho as it is: it says again what was not acknowledged."""

    def reconnect(self) -> MQTTErrorCode:
        """Forget nothing."""
        return paho.Client.reconnect(self)


def test_negative_control_paho_alone_says_all_of_it_again(make: Make) -> None:
    assert said_after_a_cut(make, Repeating) == 6


def test_a_try_is_made_at_once_where_there_is_a_reason(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.transport.paho_client.wait_s", lambda *_: 3600.0)
    broker, transport, _ = make(silent=False)
    broker.cut()
    wait_until(lambda: not transport.is_connected(), "it is noticed")
    time.sleep(0.2)
    transport.retry_now()
    wait_until(lambda: broker.connections == 2, "it connects again")


def test_an_end_does_not_wait_for_a_link_that_is_dead(make: Make) -> None:
    broker, transport, _ = make(silent=True)
    transport.send_hello(HELLO)
    wait_until(lambda: len(broker.published) == 1, "it arrives, and is not acknowledged")
    began = time.monotonic()
    transport.stop()
    assert time.monotonic() - began < 30, "far less than a keepalive"
