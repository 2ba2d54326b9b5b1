"""The broker as the rest of the hub sees it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Message:
    """A device's message; ``subject`` is the topic with dots (`contract.topics.parse_subject`)."""

    subject: str
    payload: bytes


@dataclass(frozen=True)
class Delivery:
    """A stored telemetry message; it comes again, here or at another worker, until `ack` was called."""

    subject: str
    payload: bytes
    ack: Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Presence:
    """A device's connection opened or closed."""

    device: str
    connected: bool


MessageHandler = Callable[[Message], Awaitable[None]]
PresenceHandler = Callable[[Presence], Awaitable[None]]
Unsubscribe = Callable[[], Awaitable[None]]


class Bus(Protocol):
    """Messages to and from devices.

    Only `BrokerError`s leave it. Topics and filters are those of `contract.topics`. Delivery to a
    device and of everything but telemetry is at most once: what must arrive is repeated by the
    protocol above. A handler's messages come one after the other; what a handler raises is logged
    and its next message still comes.
    """

    async def publish(self, topic: str, payload: bytes) -> None:
        """Send to whoever is subscribed now; raises `BrokerUnavailableError`."""
        ...

    async def subscribe(self, topic_filter: str, handler: MessageHandler, *, queue: str = "") -> Unsubscribe:
        """Call ``handler`` for each message; of subscribers with the same ``queue`` one gets each."""
        ...

    async def fetch_telemetry(self, batch: int, timeout_s: float, partition: int = 0) -> list[Delivery]:
        """Return 1 to ``batch`` stored messages of a part, oldest first, or none after ``timeout_s``.

        Raises `BrokerUnavailableError`.
        """
        ...

    async def kick(self, device: str) -> int:
        """Close the device's live connections and return how many there were.

        It does not keep the device out: revoke its certificate first. Raises `BrokerUnavailableError`.
        """
        ...

    async def connected_devices(self) -> frozenset[str]:
        """Return the ids of the devices connected now; raises `BrokerUnavailableError`."""
        ...

    async def watch_presence(self, handler: PresenceHandler) -> Unsubscribe:
        """Call ``handler`` for each connection that opens or closes from now on.

        Events are lost while the hub is away from the broker: compare with `connected_devices` then.
        """
        ...
