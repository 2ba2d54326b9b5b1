"""What devices say over the broker: hello is answered with what is newer, reports are kept."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Protocol

from cloud_hub.broker.errors import BrokerError
from cloud_hub.broker.port import Bus, Message
from cloud_hub.devices.lots import Lots
from cloud_hub.devices.service import Devices
from contract import topics
from contract.encoding import decode
from contract.errors import ContractError
from contract.messages import Hello, Reported

log = logging.getLogger(__name__)

Said = tuple[str, Hello | Reported]
QUEUE = "hub"
DISCONNECT_TRIES, DISCONNECT_WAIT_S = 30, 1.0


class Envelopes(Protocol):
    """Who knows a device's newest desired document."""

    def newer_than_each(self, held: Mapping[str, int]) -> dict[str, bytes]:
        """Return, by device, the newest envelope where its generation is above the one that is held."""


class DeviceListener:
    """Listens on ``hello`` and ``reported``, and pushes desired documents."""

    def __init__(self, bus: Bus, devices: Devices, loop: asyncio.AbstractEventLoop) -> None:
        self._bus = bus
        self._devices = devices
        self._loop = loop
        self._envelopes: Envelopes | None = None
        self._said: Lots[Said, None] = Lots(self._keep)

    async def start(self, envelopes: Envelopes) -> None:
        """Begin listening."""
        self._envelopes = envelopes
        await self._bus.subscribe(topics.hello("+"), self._on_hello, queue=QUEUE)
        await self._bus.subscribe(topics.reported("+"), self._on_reported, queue=QUEUE)

    def push(self, device: str, envelope: bytes) -> None:
        """Send an envelope now, from any thread; a device that is away asks when it comes back."""
        asyncio.run_coroutine_threadsafe(self._publish(device, envelope), self._loop)

    def disconnect(self, device: str) -> None:
        """Close a device's connection now, from any thread; it is judged anew when it comes back."""
        asyncio.run_coroutine_threadsafe(self._disconnect(device), self._loop)

    async def _disconnect(self, device: str) -> None:
        for left in reversed(range(DISCONNECT_TRIES)):
            try:
                await self._bus.kick(device)
            except BrokerError as error:
                log.warning("device %s is not disconnected yet: %s", device, error)
                await asyncio.sleep(DISCONNECT_WAIT_S if left else 0)
            else:
                return

    async def _publish(self, device: str, envelope: bytes) -> None:
        try:
            await self._bus.publish(topics.desired(device), envelope)
        except BrokerError as error:
            log.warning("device %s will hear of its document when it asks: %s", device, error)

    async def stop(self) -> None:
        """Keep nothing more."""
        await self._said.stop()

    async def _on_hello(self, message: Message) -> None:
        await self._take(message, Hello)

    async def _on_reported(self, message: Message) -> None:
        await self._take(message, Reported)

    async def _take(self, message: Message, kind: type[Hello] | type[Reported]) -> None:
        device, what, _ = topics.parse_subject(message.subject)
        try:
            said = decode(message.payload, kind, what=what)
        except ContractError as error:
            log.warning("device %s said what cannot be read: %s", device, error)
            return
        (await self._said.put((device, said))).add_done_callback(_tell_if_failed)

    async def _keep(self, said: list[Said]) -> list[None]:
        """Keep what was said, and say again what a device does not hold: a push may have been lost."""
        await asyncio.to_thread(self._devices.heard, said)
        # A report of a refusal asks for nothing: what was refused is not said again by itself.
        held = {
            device: each.generation
            for device, each in said
            if isinstance(each, Hello) or each.refused is None
        }
        if self._envelopes is not None:
            for device, envelope in (await asyncio.to_thread(self._envelopes.newer_than_each, held)).items():
                await self._publish(device, envelope)
        return [None] * len(said)


def _tell_if_failed(kept: "asyncio.Future[None]") -> None:
    if not kept.cancelled() and (error := kept.exception()) is not None:
        log.error("what a device said was not kept", exc_info=error)
