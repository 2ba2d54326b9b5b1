"""The port over NATS: messages as the hub's user, connections as the system's."""

import asyncio
import logging
from typing import Final, Self

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.client import JetStreamContext

from cloud_hub.broker.callout import AuthCallout
from cloud_hub.broker.connection import connect, unavailable_unless_answered
from cloud_hub.broker.errors import BrokerUnavailableError
from cloud_hub.broker.keys import HubKeys
from cloud_hub.broker.port import Delivery, Message, MessageHandler, PresenceHandler, Unsubscribe
from cloud_hub.broker.streams import (
    TELEMETRY,
    Plan,
    bound_retained,
    consumer_of,
    ensure_telemetry,
    original,
)
from cloud_hub.broker.system_account import SystemAccount
from contract.topics import to_subject

log = logging.getLogger(__name__)

_KICKS: Final = "hub.kick"  # no device may publish there
_ANSWER_TIMEOUT_S: Final = 3.0
_AGAIN_S: Final = 0.5
_TOLD_EVERY: Final = 10


class NatsBus:
    """Implements `port.Bus`. It reconnects for ever; what it sends meanwhile waits in memory, bounded."""

    def __init__(
        self,
        hub: Client,
        system: Client,
        auth: Client,
        callout: AuthCallout,
        pulls: list[JetStreamContext.PullSubscription],
        servers: int,
    ) -> None:
        self._clients = (hub, system, auth)
        self._hub = hub
        self._system = SystemAccount(system, servers)
        self._callout = callout
        self._pulls = pulls

    @classmethod
    async def open(cls, port: int, keys: HubKeys, callout: AuthCallout, plan: Plan) -> Self:
        """Connect to the server on loopback ``port`` and start to judge connections.

        One of several servers is waited for until most of them are there. Raises `BrokerUnavailableError`.
        """
        clients: list[Client] = []
        try:
            for key, name in ((keys.hub, "hub"), (keys.system, "hub-system"), (keys.auth, "hub-auth")):
                clients.append(await connect(port, key, name=name))
            hub, system, auth = clients
            pulls = await _telemetry(hub.jetstream(timeout=_ANSWER_TIMEOUT_S), plan)
            async with unavailable_unless_answered("start"):
                await hub.subscribe(_KICKS, cb=callout.take_kick)
                await hub.flush()
                # Last: from here on devices come in, and what they say can be kept.
                await callout.serve(auth)
                await auth.flush()
        except BaseException:
            for client in clients:
                await client.close()
            raise
        return cls(hub, system, auth, callout, pulls, plan.replicas)

    @property
    def connected(self) -> bool:
        """Whether the hub can be reached, can judge connections and can kick, just now."""
        return all(client.is_connected for client in self._clients)

    async def close(self) -> None:
        """Close the connections; no device gets in from then on."""
        await self._callout.stop()
        for client in self._clients:
            await client.close()

    async def publish(self, topic: str, payload: bytes) -> None:
        """See `port.Bus`."""
        async with unavailable_unless_answered("publish"):
            await self._hub.publish(to_subject(topic), payload)

    async def subscribe(self, topic_filter: str, handler: MessageHandler, *, queue: str = "") -> Unsubscribe:
        """See `port.Bus`."""

        async def take(message: Msg) -> None:
            try:
                await handler(Message(message.subject, message.data))
            except Exception:
                # The next message must still come, whatever this one did to its handler.
                log.exception("a message on %s was not handled", message.subject)

        async with unavailable_unless_answered("subscribe"):
            subscription = await self._hub.subscribe(to_subject(topic_filter), queue=queue, cb=take)
            await self._hub.flush()

        async def unsubscribe() -> None:
            async with unavailable_unless_answered("unsubscribe"):
                await subscription.unsubscribe()

        return unsubscribe

    async def fetch_telemetry(self, batch: int, timeout_s: float, partition: int = 0) -> list[Delivery]:
        """See `port.Bus`."""
        async with unavailable_unless_answered("fetch"):
            try:
                messages = await self._pulls[partition].fetch(batch, timeout=timeout_s)
            except TimeoutError:
                return []
        return [_delivery(message) for message in messages]

    async def kick(self, device: str) -> int:
        """See `port.Bus`."""
        self._callout.invalidate(device)
        async with unavailable_unless_answered("kick"):
            await self._hub.publish(_KICKS, device.encode())  # the other hubs judge connections too
            await self._hub.flush()
        return await self._system.kick(device)

    async def connected_devices(self) -> frozenset[str]:
        """See `port.Bus`."""
        return await self._system.connected_devices()

    async def watch_presence(self, handler: PresenceHandler) -> Unsubscribe:
        """See `port.Bus`."""
        return await self._system.watch_presence(handler)


async def _telemetry(jetstream: JetStreamContext, plan: Plan) -> list[JetStreamContext.PullSubscription]:
    """Return a subscription for each part of the telemetry, once the server can say what it keeps."""
    tries = 0
    while True:
        try:
            async with unavailable_unless_answered("telemetry stream"):
                await ensure_telemetry(jetstream, plan)
                await bound_retained(jetstream, plan)
                names = [consumer_of(plan, partition) for partition in range(plan.partitions)]
                return [await jetstream.pull_subscribe_bind(consumer=n, stream=TELEMETRY) for n in names]
        except BrokerUnavailableError as error:
            if plan.replicas == 1:
                raise
            if tries % _TOLD_EVERY == 0:
                log.warning("the broker waits for the other hubs' servers (%s)", error.__cause__ or error)
            tries += 1
            await asyncio.sleep(_AGAIN_S)


def _delivery(message: Msg) -> Delivery:
    async def ack() -> None:
        async with unavailable_unless_answered("ack"):
            await message.ack()

    return Delivery(original(message.subject), message.data, ack)
