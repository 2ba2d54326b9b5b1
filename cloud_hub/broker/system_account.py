"""Operator's questions to the server, asked in its system account (NATS documentation, "System events")."""

import asyncio
import logging
from typing import Final

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from cloud_hub.broker.connection import unavailable_unless_answered
from cloud_hub.broker.port import Presence, PresenceHandler, Unsubscribe
from cloud_hub.broker.settings import DEVICES_ACCOUNT
from contract.ids import DEVICE_ID

log = logging.getLogger(__name__)

_TIMEOUT_S: Final = 5.0
_PAGE: Final = 1024
_KICK_PASSES: Final = 10
_KICK_PAUSE_S: Final = 0.2


class _Server(msgspec.Struct, frozen=True):
    id: str


class _Connection(msgspec.Struct, frozen=True):
    cid: int
    mqtt_client: str = ""


class _Page(msgspec.Struct, frozen=True):
    connections: tuple[_Connection, ...] = ()
    total: int = 0


class _ConnectionsAnswer(msgspec.Struct, frozen=True):
    server: _Server
    data: _Page


class _EventClient(msgspec.Struct, frozen=True):
    client_id: str = ""
    client_type: str = ""


class _Event(msgspec.Struct, frozen=True):
    client: _EventClient


class SystemAccount:
    """Sees and closes devices' connections."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def connected_devices(self) -> frozenset[str]:
        """Return the ids of the devices connected now."""
        devices: set[str] = set()
        offset = 0
        while True:
            answer = await self._connections({"offset": offset, "limit": _PAGE, "acc": DEVICES_ACCOUNT})
            devices.update(each.mqtt_client for each in answer.data.connections if each.mqtt_client)
            offset += _PAGE
            if offset >= answer.data.total:
                return frozenset(devices)

    async def kick(self, device: str) -> int:
        """Close the device's connections; return how many.

        Asks again until none is left: one that was being let in at the first look shows at the next.
        """
        kicked: set[int] = set()
        for _ in range(_KICK_PASSES):
            answer = await self._connections({"mqtt_client": device, "acc": DEVICES_ACCOUNT})
            for connection in answer.data.connections:
                kicked.add(connection.cid)
                body = msgspec.json.encode({"cid": connection.cid})
                async with unavailable_unless_answered("kick"):
                    await self._client.request(
                        f"$SYS.REQ.SERVER.{answer.server.id}.KICK", body, timeout=_TIMEOUT_S
                    )
            await asyncio.sleep(_KICK_PAUSE_S)
            if not answer.data.connections:
                break
        return len(kicked)

    async def watch_presence(self, handler: PresenceHandler) -> Unsubscribe:
        """Call ``handler`` for each device's connection that opens or closes."""

        async def take(message: Msg) -> None:
            try:
                client = msgspec.json.decode(message.data, type=_Event).client
                if client.client_type == "mqtt" and DEVICE_ID.fullmatch(client.client_id):
                    await handler(Presence(client.client_id, message.subject.endswith(".CONNECT")))
            except Exception:
                # The next event must still come, whatever this one did to its handler.
                log.exception("a presence event was not handled")

        async with unavailable_unless_answered("presence"):
            subject = f"$SYS.ACCOUNT.{DEVICES_ACCOUNT}."
            subscriptions = [
                await self._client.subscribe(subject + kind, cb=take) for kind in ("CONNECT", "DISCONNECT")
            ]
            await self._client.flush()

        async def unsubscribe() -> None:
            for subscription in subscriptions:
                async with unavailable_unless_answered("presence"):
                    await subscription.unsubscribe()

        return unsubscribe

    async def _connections(self, options: dict[str, object]) -> _ConnectionsAnswer:
        async with unavailable_unless_answered("connections"):
            answer = await self._client.request(
                "$SYS.REQ.SERVER.PING.CONNZ", msgspec.json.encode(options), timeout=_TIMEOUT_S
            )
        return msgspec.json.decode(answer.data, type=_ConnectionsAnswer)
