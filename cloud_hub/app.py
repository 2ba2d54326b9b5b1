"""Wires the hub: one process with the HTTPS API, the registry, enrolment, the broker and ingest."""

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from cloud_hub.api.app import create_app
from cloud_hub.api.server import HttpsServer
from cloud_hub.blobs.sweep import Sweeper
from cloud_hub.broker.broker import Broker
from cloud_hub.broker.program import find_program
from cloud_hub.broker.settings import BrokerSettings
from cloud_hub.devices.listener import DeviceListener
from cloud_hub.errors import HubRunningError
from cloud_hub.init import PKI, require_initialised
from cloud_hub.services import Services
from cloud_hub.settings import Settings
from cloud_hub.telemetry.files import Files
from cloud_hub.telemetry.ingest import Ingest
from cloud_hub.wiring import Core, build_services

log = logging.getLogger(__name__)

SWEEP_INTERVAL_S = 600.0


async def run(settings: Settings) -> None:
    """Run the hub until SIGTERM or SIGINT."""
    require_initialised(settings.data_dir)
    with _locked(settings.data_dir), _listening(settings) as listener:
        await _run(settings, listener)


async def _run(settings: Settings, listener: socket.socket) -> None:
    core = await asyncio.to_thread(Core.open, settings)
    broker = await Broker.start(
        BrokerSettings(
            folder=settings.data_dir / "broker",
            host=settings.listen,
            mqtt_port=settings.mqtt_port,
            cert_file=core.certificate,
            key_file=core.key,
            ca_file=settings.data_dir / PKI / "ca.pem",
        ),
        lambda device, serial: core.devices.recognise(device, serial) is not None,
    )
    log.info("broker: %s", _describe_broker())
    loop = asyncio.get_running_loop()
    listening = DeviceListener(broker.bus, core.devices, loop)
    services = build_services(settings, core, listening.push)
    services.activities.recover()
    core.files.sweep()
    tasks: list[asyncio.Task[None]] = []
    try:
        await listening.start(services.rollouts)
        tasks = [
            loop.create_task(Ingest(core.database).run(broker.bus)),
            loop.create_task(_flush_forever(core.files, settings.telemetry_flush_s)),
            loop.create_task(_sweep_forever(services.sweeper)),
        ]
        await _serve(settings, services, listener, core)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await broker.stop()
        services.activities.close()
        await asyncio.to_thread(core.files.flush)
        core.database.close()


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
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    log.info("hub ready at %s, MQTT at %s:%d", settings.url, settings.host, settings.mqtt_port)
    await server.serve(sockets=[listener])


async def _flush_forever(files: Files, interval_s: float) -> None:
    while True:
        await asyncio.sleep(interval_s)
        try:
            await asyncio.to_thread(files.flush)
        except Exception:
            log.exception("telemetry files could not be written; tried again in %g s", interval_s)


async def _sweep_forever(sweeper: Sweeper) -> None:
    listed = False
    while True:
        try:
            if not listed:
                await asyncio.to_thread(sweeper.mark_unknown)
                listed = True
            await asyncio.to_thread(sweeper.sweep)
        except Exception:
            log.exception("old bytes could not be swept; tried again in %g s", SWEEP_INTERVAL_S)
        await asyncio.sleep(SWEEP_INTERVAL_S)


@contextlib.contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    descriptor = os.open(data_dir / "hub.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise HubRunningError(
            "another hub works on this data folder", where=str(data_dir), fix="Stop it first."
        ) from error
    try:
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    """Bind before anything else starts: a port that is taken is found out at once."""
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
        yield listener
