"""What devices say over the broker: hello is answered with what is newer, reports are kept."""

import asyncio
import logging
from typing import Protocol

from cloud_hub.broker.errors import BrokerError
from cloud_hub.broker.port import Bus, Message
from cloud_hub.devices.service import Devices
from contract import topics
from contract.encoding import decode
from contract.errors import ContractError
from contract.messages import Hello, Reported

log = logging.getLogger(__name__)

QUEUE = "hub"
DISCONNECT_TRIES, DISCONNECT_WAIT_S = 30, 1.0


class Envelopes(Protocol):
    """Who knows a device's newest desired document."""

    def newer_than(self, device: str, generation: int) -> bytes | None:
        """Return the newest envelope where its generation is above ``generation``."""


class DeviceListener:
    """Listens on ``hello`` and ``reported``, and pushes desired documents."""

    def __init__(self, bus: Bus, devices: Devices, loop: asyncio.AbstractEventLoop) -> None:
        self._bus = bus
        self._devices = devices
        self._loop = loop
        self._envelopes: Envelopes | None = None

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

    async def _on_hello(self, message: Message) -> None:
        device, _, _ = topics.parse_subject(message.subject)
        try:
            hello = decode(message.payload, Hello, what="hello")
        except ContractError as error:
            log.warning("device %s said a hello that cannot be read: %s", device, error)
            return
        await asyncio.to_thread(self._devices.said_hello, device, hello)
        await self._send_newer(device, hello.generation)

    async def _send_newer(self, device: str, generation: int) -> None:
        """Say again what a device does not hold: a push may have been lost."""
        if self._envelopes is not None:
            envelope = await asyncio.to_thread(self._envelopes.newer_than, device, generation)
            if envelope is not None:
                await self._publish(device, envelope)

    async def _on_reported(self, message: Message) -> None:
        device, _, _ = topics.parse_subject(message.subject)
        try:
            reported = decode(message.payload, Reported, what="report")
        except ContractError as error:
            log.warning("device %s sent a report that cannot be read: %s", device, error)
            return
        await asyncio.to_thread(self._devices.reported, device, reported)
        if reported.refused is None:  # one that was refused is not said again by itself
            await self._send_newer(device, reported.generation)
