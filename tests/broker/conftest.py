"""Real parts: an authority, a broker with a real server, and MQTT clients with certificates of their own."""

import asyncio
import contextlib
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from paho.mqtt.enums import CallbackAPIVersion

from cloud_hub.broker.broker import Broker
from cloud_hub.broker.settings import BrokerSettings
from cloud_hub.pki.authority import DEVICE_LIFETIME, Authority, private_key_pem

HOST = "127.0.0.1"
StartBroker = Callable[..., Awaitable[Broker]]


@dataclass(frozen=True)
class Credentials:
    """What a device holds on disk."""

    device: str
    serial: str
    cert: Path
    key: Path
    ca: Path


class Fleet:
    """Devices with certificates, and the hub's table of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority.create(folder)
        self.ca = folder / "ca.pem"
        self.known: set[tuple[str, str]] = set()
        self.renew_server()

    def renew_server(self) -> bytes:
        """Give the server a new certificate in the same files and return its DER bytes."""
        key_pem, cert_pem = self.authority.issue_server([HOST])
        (self.folder / "server.pem").write_bytes(cert_pem)
        (self.folder / "server-key.pem").write_bytes(key_pem)
        return x509.load_pem_x509_certificate(cert_pem).public_bytes(serialization.Encoding.DER)

    def settings(self, **changes: Any) -> BrokerSettings:
        """Return settings for a broker that trusts this fleet, on a free port."""
        values: dict[str, Any] = {
            "folder": self.folder / "broker",
            "host": HOST,
            "mqtt_port": 0,
            "cert_file": self.folder / "server.pem",
            "key_file": self.folder / "server-key.pem",
            "ca_file": self.ca,
            "keys": self.folder / "keys",
            "telemetry_max_bytes": 64 * 1024 * 1024,
        }
        return BrokerSettings(**(values | changes))

    def tls_context(self) -> ssl.SSLContext:
        """Return a client context with a device's certificate."""
        credentials = self.enrol("tls-client")
        context = ssl.create_default_context(cafile=str(self.ca))
        context.load_cert_chain(credentials.cert, credentials.key)
        return context

    def enrol(
        self, device: str, *, authority: Authority | None = None, lifetime: timedelta = DEVICE_LIFETIME
    ) -> Credentials:
        """Give a device a certificate that ends ``lifetime`` from now, and list it as known."""
        key = ec.generate_private_key(ec.SECP256R1())
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        csr = request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        since = datetime.now(UTC) - DEVICE_LIFETIME + lifetime
        issued = (authority or self.authority).issue_device(csr, device, since)
        self.known.add((device, issued.serial))
        stem = f"{device}-{issued.serial}"
        cert, key_file = self.folder / f"{stem}.pem", self.folder / f"{stem}-key.pem"
        cert.write_bytes(issued.certificate_pem)
        key_file.write_bytes(private_key_pem(key))
        return Credentials(device, issued.serial, cert, key_file, self.ca)

    def revoke(self, credentials: Credentials) -> None:
        """Strike a certificate from the table."""
        self.known.discard((credentials.device, credentials.serial))

    def lookup(self, device: str, serial: str) -> bool:
        """Say whether the table has the certificate: what the broker asks."""
        return (device, serial) in self.known


class MqttDevice:
    """A paho-mqtt client in a thread of its own that notes everything it is told."""

    def __init__(
        self, credentials: Credentials | None, port: int, ca: Path, *, client_id: str, **options: Any
    ) -> None:
        will: tuple[str, bytes] | None = options.pop("will", None)
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, **options)
        if will is not None:
            self._client.will_set(*will, qos=1)
        if credentials is None:
            self._client.tls_set(str(ca))
        else:
            self._client.tls_set(str(ca), str(credentials.cert), str(credentials.key))
        self._client.reconnect_delay_set(1, 1)
        self.received: list[tuple[str, bytes]] = []
        self.connacks: list[int] = []
        self.disconnects = 0
        self._subacks: dict[int, int] = {}
        self._noted = threading.Condition()
        self._client.on_connect = lambda _c, _u, _f, reason, _p: self._note_connack(reason.value)
        self._client.on_disconnect = lambda *_: self._note_disconnect()
        self._client.on_subscribe = lambda _c, _u, mid, reasons, _p: self._note_suback(mid, reasons[0].value)
        self._client.on_message = lambda _c, _u, message: self._note_message(
            message.topic, bytes(message.payload)
        )
        self._port = port

    def connect(self) -> "MqttDevice":
        """Connect and wait for the broker's word; raises what the TLS handshake raises."""
        self._client.connect(HOST, self._port, keepalive=30)
        self._client.loop_start()
        self._wait(lambda: bool(self.connacks) or self.disconnects > 0, "a CONNACK")
        return self

    @property
    def connected(self) -> bool:
        """Whether the broker let it in and it is still there."""
        return self._client.is_connected()

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        """Publish and wait for the PUBACK."""
        info = self._client.publish(topic, payload, qos=qos, retain=retain)
        info.wait_for_publish(timeout=10)
        assert info.is_published()

    def send(self, topic: str, payload: bytes, *, qos: int) -> None:
        """Publish without waiting for an answer."""
        self._client.publish(topic, payload, qos)

    def subscribe(self, topic_filter: str, *, qos: int = 0) -> int:
        """Subscribe and return the SUBACK's reason code."""
        _, mid = self._client.subscribe(topic_filter, qos)
        assert mid is not None
        self._wait(lambda: mid in self._subacks, "a SUBACK")
        return self._subacks[mid]

    def vanish(self) -> None:
        """Cut the connection without a DISCONNECT: the broker publishes the will."""
        self._client.loop_stop()
        sock = self._client.socket()
        assert sock is not None
        sock.close()

    def close(self) -> None:
        """Disconnect and end the thread."""
        self._client.disconnect()
        self._client.loop_stop()

    def _note_connack(self, code: int) -> None:
        with self._noted:
            self.connacks.append(code)
            self._noted.notify_all()

    def _note_disconnect(self) -> None:
        with self._noted:
            self.disconnects += 1
            self._noted.notify_all()

    def _note_suback(self, mid: int, code: int) -> None:
        with self._noted:
            self._subacks[mid] = code
            self._noted.notify_all()

    def _note_message(self, topic: str, payload: bytes) -> None:
        with self._noted:
            self.received.append((topic, payload))
            self._noted.notify_all()

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        with self._noted:
            if not self._noted.wait_for(condition, timeout=10):
                raise TimeoutError(f"no sign of {what}")


class Connect:
    """Makes MQTT clients for a test and closes them after it."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._devices: list[MqttDevice] = []

    async def __call__(
        self, broker: Broker, credentials: Credentials | None, *, client_id: str | None = None, **options: Any
    ) -> MqttDevice:
        """Return a client that has connected, or was told that it may not."""
        name = client_id if client_id is not None else credentials.device if credentials else "nobody"
        device = MqttDevice(credentials, broker.mqtt_port, self._fleet.ca, client_id=name, **options)
        self._devices.append(device)
        return await asyncio.to_thread(device.connect)

    def close(self) -> None:
        """Close all clients."""
        for device in self._devices:
            device.close()


async def eventually(condition: Callable[[], bool], *, timeout_s: float = 10.0) -> None:
    """Wait until ``condition`` holds; fail the test when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.02)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


@pytest.fixture
async def start_broker(fleet: Fleet) -> AsyncIterator[StartBroker]:
    async with contextlib.AsyncExitStack() as stack:

        async def start(*, lookup: Any = None, settings: Any = None, **options: Any) -> Broker:
            broker = await Broker.start(settings or fleet.settings(), lookup or fleet.lookup, **options)
            stack.push_async_callback(broker.stop)
            return broker

        yield start


@pytest.fixture
async def broker(start_broker: StartBroker) -> Broker:
    return await start_broker()


@pytest.fixture
def connect(fleet: Fleet) -> Iterator[Connect]:
    made = Connect(fleet)
    yield made
    made.close()
