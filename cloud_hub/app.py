"""Wires the hub: one process with the HTTPS API, the registry, enrolment, the broker and ingest."""

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from cloud_hub.access.service import Access
from cloud_hub.activities.service import Activities
from cloud_hub.api.app import create_app
from cloud_hub.api.tls import TlsHttpProtocol
from cloud_hub.blobs.folder import FolderStore
from cloud_hub.blobs.service import Blobs
from cloud_hub.broker.broker import Broker
from cloud_hub.broker.program import find_program
from cloud_hub.broker.settings import BrokerSettings
from cloud_hub.db.engine import Database
from cloud_hub.db.owner import claim
from cloud_hub.devices.listener import DeviceListener
from cloud_hub.devices.service import Devices, HubFacts
from cloud_hub.errors import DatabaseUnavailableError, HubRunningError
from cloud_hub.experiments.service import Experiments
from cloud_hub.images.service import Images
from cloud_hub.init import PKI, SIGNING_KEY, database_of, issue_server_certificate, require_initialised
from cloud_hub.models.service import Models
from cloud_hub.pki.authority import Authority
from cloud_hub.pki.signer import DesiredSigner
from cloud_hub.registry.service import Registry
from cloud_hub.rollouts.service import Rollouts
from cloud_hub.services import Services
from cloud_hub.settings import Settings
from cloud_hub.telemetry.files import Files
from cloud_hub.telemetry.ingest import Ingest
from cloud_hub.telemetry.query import Telemetry
from cloud_hub.workspaces.service import Workspaces

log = logging.getLogger(__name__)

SHUTDOWN_GRACE_S = 5


async def run(settings: Settings) -> None:
    """Run the hub until SIGTERM or SIGINT."""
    require_initialised(settings.data_dir)
    with _locked(settings.data_dir), _listening(settings) as listener:
        await _run(settings, listener)


async def _run(settings: Settings, listener: socket.socket) -> None:
    core = await asyncio.to_thread(_Core.open, settings)
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
    services = _services(settings, core, listening)
    services.activities.recover()
    core.files.sweep()
    tasks: list[asyncio.Task[None]] = []
    try:
        await listening.start(services.rollouts)
        tasks = [
            loop.create_task(Ingest(core.database).run(broker.bus)),
            loop.create_task(_flush_forever(core.files, settings.telemetry_flush_s)),
        ]
        await _serve(settings, services, listener, core)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await broker.stop()
        services.activities.close()
        await _flush(core.files)
        core.database.close()


@dataclass(frozen=True)
class _Core:
    """What is there before the broker and the HTTP edge: rows, bytes, keys, devices."""

    database: Database
    store: FolderStore
    authority: Authority
    signer: DesiredSigner
    devices: Devices
    files: Files
    certificate: Path
    key: Path

    @classmethod
    def open(cls, settings: Settings) -> "_Core":
        pki = settings.data_dir / PKI
        certificate, key = issue_server_certificate(settings)
        database = database_of(settings)
        database.migrate()
        authority, signer = Authority.load(pki), DesiredSigner.load(pki / SIGNING_KEY)
        claim(database, authority.fingerprint)
        store = FolderStore(settings.data_dir / "objects")
        facts = HubFacts(settings.url, settings.host, settings.mqtt_port, signer.public_keys())
        return cls(
            database=database,
            store=store,
            authority=authority,
            signer=signer,
            devices=Devices(database, authority, facts),
            files=Files(database, store),
            certificate=certificate,
            key=key,
        )


def _services(settings: Settings, core: _Core, listening: DeviceListener) -> Services:
    database, data_dir = core.database, settings.data_dir
    work_dir = data_dir / "work"
    blobs = Blobs(database, core.store, work_dir)
    models = Models(database, blobs, work_dir)
    activities = Activities(database, at_once=settings.builds_at_once)
    return Services(
        settings=settings,
        authority=core.authority,
        access=Access(database),
        workspaces=Workspaces(database),
        experiments=Experiments(database, blobs),
        models=models,
        images=Images(database, blobs, models, activities, work_dir=work_dir, cache_dir=data_dir / "cache"),
        registry=Registry(database, blobs),
        devices=core.devices,
        rollouts=Rollouts(database, core.signer, listening.push),
        telemetry=Telemetry(database, core.store, core.files),
        activities=activities,
        blobs=blobs,
    )


def _describe_broker() -> str:
    program = find_program()
    beside = program.parent == Path(sys.executable).parent
    source = "from the Python package; no newer one is on the PATH" if beside else f"found at {program}"
    return f"NATS server, MQTT over mutual TLS ({source})"


async def _serve(settings: Settings, services: Services, listener: socket.socket, core: _Core) -> None:
    config = uvicorn.Config(
        create_app(services),
        http=TlsHttpProtocol,
        ws="none",
        lifespan="off",
        ssl_certfile=str(core.certificate),
        ssl_keyfile=str(core.key),
        ssl_ca_certs=str(settings.data_dir / PKI / "ca.pem"),
        ssl_cert_reqs=ssl.CERT_OPTIONAL,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_GRACE_S,
    )
    server = _Server(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    log.info("hub ready at %s, MQTT at %s:%d", settings.url, settings.host, settings.mqtt_port)
    await server.serve(sockets=[listener])


class _Server(uvicorn.Server):
    """uvicorn, with signals left to the hub: it has more to shut down than HTTP."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        self.should_exit = True


async def _flush_forever(files: Files, interval_s: float) -> None:
    while True:
        await asyncio.sleep(interval_s)
        await _flush(files)


async def _flush(files: Files) -> None:
    """What cannot be written now stays in the database for the next time."""
    try:
        await asyncio.to_thread(files.flush)
    except DatabaseUnavailableError as error:
        log.warning("telemetry files wait for the database: %s", error)
    except Exception:
        log.exception("telemetry files could not be written; tried again later")


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
