"""The whole broker in one object: the server, and the hub's bus on it."""

from typing import Self

from cloud_hub.broker.access import grant_for
from cloud_hub.broker.callout import AuthCallout, Grants, Lookup
from cloud_hub.broker.nats_bus import NatsBus
from cloud_hub.broker.nats_server import NatsServer
from cloud_hub.broker.settings import BrokerSettings
from cloud_hub.broker.streams import Plan


class Broker:
    """A running broker: ``bus`` is what the hub's core uses, ``mqtt_port`` is where devices connect."""

    def __init__(self, server: NatsServer, bus: NatsBus) -> None:
        self.server = server
        self.bus = bus

    @classmethod
    async def start(cls, settings: BrokerSettings, lookup: Lookup, *, grants: Grants = grant_for) -> Self:
        """Start the server and connect to it; devices that ``lookup`` knows can come in on return.

        ``grants`` says what a known device may do; a hub leaves it as it is. Raises `BrokerError`s
        of this package and `KeyFileError`.
        """
        server = await NatsServer.start(settings)
        try:
            callout = AuthCallout(lookup, server.keys.issuer, grants=grants)
            plan = Plan(settings.telemetry_max_bytes, settings.servers, settings.partitions)
            bus = await NatsBus.open(server.ports.client, server.keys, callout, plan)
        except BaseException:
            await server.stop()
            raise
        return cls(server, bus)

    @property
    def mqtt_port(self) -> int:
        """The port on which devices connect, the same through the server's restarts."""
        return self.server.ports.mqtt

    def reload_certificate(self) -> None:
        """Serve the certificate that is in the files now; every device has to connect anew."""
        self.server.reload()

    async def stop(self) -> None:
        """Disconnect everybody and stop the server; stored telemetry stays on disk."""
        await self.bus.close()
        await self.server.stop()
