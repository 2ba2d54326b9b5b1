"""The hub's connections to its own server."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nats.aio.client import Client
from nats.errors import Error as NatsError

from cloud_hub.broker.errors import BrokerUnavailableError
from cloud_hub.broker.keys import NatsKey
from cloud_hub.broker.settings import LOOPBACK

log = logging.getLogger(__name__)


async def connect(port: int, key: NatsKey, *, name: str, timeout_s: float = 10.0) -> Client:
    """Return a connection that comes back by itself for as long as it is not closed.

    Raises `BrokerUnavailableError` where the first one is not made within ``timeout_s``.
    """

    async def on_error(error: Exception) -> None:
        log.warning("broker connection %s: %s", name, error or type(error).__name__)

    async def on_disconnect() -> None:
        log.warning("broker connection %s: lost", name)

    async def on_reconnect() -> None:
        log.info("broker connection %s: back", name)

    client = Client()
    try:
        async with unavailable_unless_answered("connect"), asyncio.timeout(timeout_s):
            # Told to come back for ever, the library tries for ever the first time too: hence the timeout.
            await client.connect(
                f"nats://{LOOPBACK}:{port}",
                name=name,
                nkeys_seed=str(key.seed_file),
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.2,  # type: ignore[arg-type]  # seconds for asyncio.sleep; declared too narrowly
                connect_timeout=5,
                ping_interval=10,
                max_outstanding_pings=2,
                error_cb=on_error,
                disconnected_cb=on_disconnect,
                reconnected_cb=on_reconnect,
            )
    except BaseException:
        await client.close()
        raise
    return client


@asynccontextmanager
async def unavailable_unless_answered(what: str) -> AsyncIterator[None]:
    """Turn every failure of the client library into `BrokerUnavailableError`."""
    try:
        yield
    except (NatsError, OSError, TimeoutError) as error:
        raise BrokerUnavailableError(
            f"the broker did not do it ({type(error).__name__})",
            where=f"broker, {what}",
            fix="It is started again by itself; if this stays, see nats-server.log in the broker's folder.",
        ) from error
