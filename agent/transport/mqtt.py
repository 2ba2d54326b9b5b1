"""MQTT 3.1.1 over mutual TLS with paho-mqtt, as DESIGN.md's "The broker" lays down.

Clean session, QoS 0 subscriptions, QoS 1 publications: the broker keeps no state for a device.
"Not authorized" (5) is what a broker says while its hub is away, so it is temporary like any
other failure: the identity is kept and the connection tried again.
"""

import logging
import ssl
from collections.abc import Callable
from typing import ParamSpec

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.network.line import DIRECT, Network
from agent.transport.paho_client import PahoClient
from agent.transport.port import Events
from contract import topics
from contract.batches import pack
from contract.encoding import decode, encode
from contract.errors import ContractError
from contract.messages import Ack, Batch, Hello, Reported

log = logging.getLogger(__name__)
P = ParamSpec("P")

KEEPALIVE_S = 10
MAX_QUEUED = 200


class MqttTransport:
    """`Transport` to a Headland hub. ``make_client`` takes paho's own arguments."""

    def __init__(
        self,
        device: str,
        host: str,
        port: int,
        context: ssl.SSLContext,
        network: Network = DIRECT,
        *,
        keepalive_s: int = KEEPALIVE_S,
        make_client: Callable[..., PahoClient] = PahoClient,
    ) -> None:
        self._device = device
        self._address = (host, port)
        self._keepalive_s = keepalive_s
        self._stands = False
        self._events: Events | None = None
        client = make_client(
            CallbackAPIVersion.VERSION2, client_id=device, clean_session=True, protocol=paho.MQTTv311
        )
        client.network = network
        client.tls_set_context(context)
        client.max_queued_messages_set(MAX_QUEUED)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        self._client = client

    def start(self, events: Events) -> None:
        """Connect in a thread of paho's, and keep connecting."""
        self._events = events
        self._client.connect_async(*self._address, keepalive=self._keepalive_s)
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect and end paho's thread."""
        self._client.end()

    def retry_now(self) -> None:
        """Try to connect without waiting."""
        self._client.hurry()

    def connect_anew(self) -> None:
        """Cut the connection: paho makes another."""
        self._client.cut()

    def is_connected(self) -> bool:
        """Is there a connection now?"""
        return self._client.is_connected()

    def send_hello(self, hello: Hello) -> None:
        """Publish on ``hello``."""
        self._publish(topics.hello(self._device), encode(hello))

    def send_reported(self, reported: Reported) -> None:
        """Publish on ``reported``."""
        self._publish(topics.reported(self._device), encode(reported))

    def send_batch(self, stream: str, batch: Batch, *, compress: bool) -> int:
        """Publish on ``telemetry/{stream}``."""
        return self._publish(topics.telemetry(self._device, stream), pack(batch, compress=compress))

    def _publish(self, topic: str, payload: bytes) -> int:
        # Without a connection paho would queue: our own protocol says it again after a connect.
        if not self._client.is_connected():
            return 0
        self._client.publish(topic, payload, qos=1)
        return len(payload)

    def _on_connect(
        self,
        client: paho.Client,
        _data: object,
        _flags: paho.ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            log.warning("the broker refused the connection for now: %s", reason)
            return
        self._stands = True
        self._client.came()
        client.subscribe([(topic, 0) for topic in topics.device_reads(self._device)])
        log.info("connected to the hub at %s:%d", *self._address)
        if self._events is not None:
            _guarded(self._events.connected)

    def _on_disconnect(
        self,
        _client: paho.Client,
        _data: object,
        _flags: paho.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if self._stands:
            self._client.went()
        self._stands = False
        log.info("disconnected from the hub: %s", reason)

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        if self._events is None:
            return
        if message.topic == topics.desired(self._device):
            _guarded(self._events.desired_arrived, bytes(message.payload))
        elif message.topic == topics.ack(self._device):
            try:
                ack = decode(message.payload, Ack, what="ack")
            except ContractError:
                log.warning("the hub sent an acknowledgement that cannot be read", exc_info=True)
            else:
                _guarded(self._events.ack_arrived, ack)


def _guarded(handle: Callable[P, None], *arguments: P.args, **named: P.kwargs) -> None:
    """Call ``handle``; what it raises must not end paho's thread, or the device would be deaf for ever."""
    try:
        handle(*arguments, **named)
    except Exception:
        log.exception("what came from the hub could not be acted on; the hub says it again")
