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
_OTHERS_TIMEOUT_S: Final = 1.5
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
    """Of one server."""

    server: _Server
    data: _Page


class _EventClient(msgspec.Struct, frozen=True):
    client_id: str = ""
    client_type: str = ""


class _Event(msgspec.Struct, frozen=True):
    client: _EventClient


class SystemAccount:
    """Sees and closes devices' connections, on each of the broker's ``servers``."""

    def __init__(self, client: Client, servers: int = 1) -> None:
        self._client = client
        self._servers = servers

    async def connected_devices(self) -> frozenset[str]:
        """Return the ids of the devices connected now."""
        devices: set[str] = set()
        offset = 0
        while True:
            answers = await self._connections({"offset": offset, "limit": _PAGE, "acc": DEVICES_ACCOUNT})
            for answer in answers:
                devices.update(each.mqtt_client for each in answer.data.connections if each.mqtt_client)
            offset += _PAGE
            if offset >= max(answer.data.total for answer in answers):
                return frozenset(devices)

    async def kick(self, device: str) -> int:
        """Close the device's connections; return how many.

        Asks again until none is left: one that was being let in at the first look shows at the next.
        """
        kicked: set[tuple[str, int]] = set()
        for _ in range(_KICK_PASSES):
            answers = await self._connections({"mqtt_client": device, "acc": DEVICES_ACCOUNT})
            found = {
                (each.server.id, connection.cid) for each in answers for connection in each.data.connections
            }
            kicked |= found
            for server, connection in found:
                body = msgspec.json.encode({"cid": connection})
                async with unavailable_unless_answered("kick"):
                    await self._client.request(f"$SYS.REQ.SERVER.{server}.KICK", body, timeout=_TIMEOUT_S)
            await asyncio.sleep(_KICK_PAUSE_S)
            if not found:
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

    async def _connections(self, options: dict[str, object]) -> list[_ConnectionsAnswer]:
        """Ask every server; one that says nothing is not there, and neither are its connections."""
        answers: list[_ConnectionsAnswer] = []
        async with unavailable_unless_answered("connections"):
            inbox = self._client.new_inbox()
            subscription = await self._client.subscribe(inbox)
            try:
                await self._client.publish("$SYS.REQ.SERVER.PING.CONNZ", msgspec.json.encode(options), inbox)
                while len(answers) < self._servers:
                    wait_s = _TIMEOUT_S if not answers else _OTHERS_TIMEOUT_S
                    answer = await subscription.next_msg(wait_s)
                    answers.append(msgspec.json.decode(answer.data, type=_ConnectionsAnswer))
            except TimeoutError:
                if not answers:
                    raise
            finally:
                await subscription.unsubscribe()
        return answers
