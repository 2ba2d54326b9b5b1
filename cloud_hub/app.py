"""Wires the hub: one process with the HTTPS API, the registry, enrolment, the broker and ingest."""

import asyncio
import contextlib
import gc
import logging
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from cloud_hub.activities.kinds import Kind
from cloud_hub.api.app import create_app
from cloud_hub.api.server import HttpsServer
from cloud_hub.blobs.errors import StoreError
from cloud_hub.broker.broker import Broker
from cloud_hub.broker.port import Bus
from cloud_hub.broker.program import find_program
from cloud_hub.broker.settings import BrokerSettings
from cloud_hub.cluster import work
from cloud_hub.core import Core, partitions_of
from cloud_hub.devices.listener import DeviceListener
from cloud_hub.devices.lots import Lots
from cloud_hub.errors import DatabaseUnavailableError, HubRunningError
from cloud_hub.image_stores.moving import ImageMover
from cloud_hub.init import PKI, require_initialised
from cloud_hub.lock import hub_lock
from cloud_hub.rollouts.conductor import Conductor
from cloud_hub.services import Services
from cloud_hub.settings import Settings
from cloud_hub.telemetry.ingest import Ingest
from cloud_hub.wiring import build_services

log = logging.getLogger(__name__)

SWEEP_INTERVAL_S = 600.0
MOVE_INTERVAL_S = 10.0
LEAD_INTERVAL_S = 1.0
SHARE_INTERVAL_S = 5.0


async def run(settings: Settings, *, kinds: Iterable[Kind] = ()) -> None:
    """Run the hub until SIGTERM or SIGINT; ``kinds`` of activities come on top of its own."""
    require_initialised(settings.data_dir)
    with hub_lock(settings.data_dir), bound(settings) as listener:
        await _run(settings, listener, kinds)


async def _run(settings: Settings, listener: socket.socket, kinds: Iterable[Kind]) -> None:
    core = await asyncio.to_thread(Core.open, settings)
    shown: Lots[tuple[str, str], bool] = Lots(lambda lot: asyncio.to_thread(core.devices.known, lot))
    broker = await Broker.start(
        BrokerSettings(
            folder=settings.data_dir / "broker",
            host=settings.listen,
            mqtt_port=settings.mqtt_port,
            cert_file=core.certificate,
            key_file=core.key,
            ca_file=settings.data_dir / PKI / "ca.pem",
            keys=settings.data_dir / PKI,
            cluster=core.cluster,
            partitions=partitions_of(settings),
        ),
        partial(_known, shown),
    )
    log.info("broker: %s", _describe_broker())
    loop = asyncio.get_running_loop()
    listening = DeviceListener(broker.bus, core.devices, loop)
    services = build_services(
        settings,
        core,
        listening.push,
        kinds=kinds,
        broker_connected=lambda: broker.bus.connected,
        disconnect=listening.disconnect,
    )
    _clear(settings.data_dir / "work")
    services.image_builds.clear_leftovers()
    tasks: list[asyncio.Task[None]] = []
    try:
        await listening.start(services.rollouts)
        tasks = [
            loop.create_task(core.share.keep()),
            *(loop.create_task(each) for each in _ingest(core, broker.bus, partitions_of(settings))),
            loop.create_task(_flush_forever(core, core.files.flush_own, settings.telemetry_flush_s)),
            loop.create_task(_flush_forever(core, core.files.flush_attached, settings.telemetry_flush_s)),
            loop.create_task(_sweep_forever(core, services)),
            loop.create_task(_move_forever(core, services.image_mover)),
            loop.create_task(_lead_forever(core, services.conductor)),
        ]
        # A SQLite file is this process's alone: it holds the folder's lock.
        services.activities.begin(alone=core.database.is_sqlite)
        services.deliverer.start(alone=core.database.is_sqlite)
        await _serve(settings, services, listener, core)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(services.activities.close)
        await asyncio.to_thread(services.deliverer.stop)
        await broker.stop()
        await shown.stop()
        await listening.stop()
        # What goes into datastores waits in the database: one that hangs would hold up the stop.
        await _flush(core.files.flush_own)
        await asyncio.to_thread(_leave, core)
        core.database.close()


async def _known(shown: Lots[tuple[str, str], bool], device: str, serial: str) -> bool:
    """Is it the certificate of that device? Many that come at once are looked up together."""
    return await (await shown.put((device, serial)))


def _clear(folder: Path) -> None:
    """Remove what a killed process left of its temporary files; the folder's lock is held."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _describe_broker() -> str:
    program = find_program()
    beside = program.parent == Path(sys.executable).parent
    source = "from the Python package; no newer one is on the PATH" if beside else f"found at {program}"
    return f"NATS server, MQTT over mutual TLS ({source})"


async def _serve(settings: Settings, services: Services, listener: socket.socket, core: Core) -> None:
    server = HttpsServer(
        create_app(services),
        certificate=core.certificate,
        key=core.key,
        client_ca=settings.data_dir / PKI / "ca.pem",
    )

    def stop() -> None:
        services.streams.close()
        server.stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    # What is there now stays until the end. Looking through it again and again took as long as the answer
    # to a list of 100 models itself.
    gc.collect()
    gc.freeze()
    log.info("hub ready at %s, MQTT at %s:%d", settings.url, settings.host, settings.mqtt_port)
    await server.serve(sockets=[listener])


def _ingest(core: Core, bus: Bus, partitions: int) -> Iterator[Coroutine[Any, Any, None]]:
    taking_in = Ingest(core.database)
    for partition in range(partitions):
        yield taking_in.run(bus, partition, partial(core.share.holds, work.ingest(partition)))


async def _flush_forever(core: Core, flush: Callable[[], int], interval_s: float) -> None:
    while True:
        await asyncio.sleep(interval_s)
        if core.share.holds(work.FILES):
            await _flush(flush)


async def _sweep_forever(core: Core, services: Services) -> None:
    listed = False
    while True:
        while not core.share.holds(work.SWEEP):
            await asyncio.sleep(SHARE_INTERVAL_S)
        try:
            if not listed:
                await asyncio.to_thread(services.sweeper.mark_unknown)
                listed = True
            await asyncio.to_thread(services.collector.collect)
            await asyncio.to_thread(services.sweeper.sweep)
            await asyncio.to_thread(core.files.sweep)
        except Exception:
            log.exception("old bytes could not be swept; tried again in %g s", SWEEP_INTERVAL_S)
        await asyncio.sleep(SWEEP_INTERVAL_S)


async def _move_forever(core: Core, mover: ImageMover) -> None:
    """Carry images out to external registries; whoever sweeps does it."""
    while True:
        await asyncio.sleep(MOVE_INTERVAL_S)
        if not core.share.holds(work.SWEEP):
            continue
        try:
            await asyncio.to_thread(mover.move_all)
        except Exception:
            log.exception("images could not be moved; tried again in %g s", MOVE_INTERVAL_S)


async def _lead_forever(core: Core, conductor: Conductor) -> None:
    """Take rollouts over their devices; at most a tenth of the time goes into looks at what stands still."""
    while True:
        looked_s = 0.0
        if core.share.holds(work.ROLLOUTS):
            try:
                looked_s = await asyncio.to_thread(conductor.tick)
            except Exception:
                log.exception("rollouts could not go on; tried again")
        await asyncio.sleep(max(LEAD_INTERVAL_S, 9 * looked_s))


def _leave(core: Core) -> None:
    try:
        core.share.leave()
    except DatabaseUnavailableError as error:
        log.warning("the other hubs take this one's work over when its leases run out: %s", error)


async def _flush(flush: Callable[[], int]) -> None:
    """What cannot be written now stays in the database for the next time."""
    try:
        await asyncio.to_thread(flush)
    except (DatabaseUnavailableError, StoreError) as error:
        log.warning("telemetry files wait: %s", error)
    except Exception:
        log.exception("telemetry files could not be written; tried again later")


@contextlib.contextmanager
def bound(settings: Settings) -> Iterator[socket.socket]:
    """Yield the listener of HTTPS; bound before all else, so a taken port is found out at once."""
    address = (settings.listen, settings.https_port)
    try:
        listener = socket.create_server(address, backlog=512, reuse_port=False)
    except OSError as error:
        raise HubRunningError(
            f"cannot listen ({error.strerror})",
            where=f"{address[0]}:{address[1]}",
            fix="Choose another https_port, or stop what listens there.",
        ) from error
    with listener:
        # Accepted connections inherit it. asyncio sets it only on sockets that name their protocol, as these
        # do not; without it a body that follows its head waits 40 ms for the peer's delayed acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield listener
