"""Runs the NATS server: starts it, starts it again when it dies, stops it."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from pathlib import Path
from typing import BinaryIO, Final, Self

from cloud_hub.broker import tether
from cloud_hub.broker.addresses import free_port
from cloud_hub.broker.errors import BrokerStartError
from cloud_hub.broker.folder import FolderLock, forget_server, remember_server, stop_stale_server
from cloud_hub.broker.keys import HubKeys
from cloud_hub.broker.program import find_program
from cloud_hub.broker.settings import LOOPBACK, BrokerSettings, Ports, server_config
from cloud_hub.pki.durable_file import write_durably

log = logging.getLogger(__name__)

CONFIG_FILE: Final = "nats-server.conf"
_ERROR_FILE: Final = "nats-server.err"
_POLL_S: Final = 0.02
_STOP_TIMEOUT_S: Final = 15.0
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 10.0
_STEADY_S: Final = 60.0


class NatsServer:
    """The server as a child of the hub; the ports it got stay the same through its restarts."""

    def __init__(self, settings: BrokerSettings, keys: HubKeys, program: Path, ports: Ports) -> None:
        self.settings = settings
        self.keys = keys
        self._program = program
        self.ports = ports
        self.restarts = 0
        self._process: asyncio.subprocess.Process | None = None
        self._supervision: asyncio.Task[None] | None = None
        self._lock: FolderLock | None = None

    @classmethod
    async def start(cls, settings: BrokerSettings) -> Self:
        """Start the server and return when it takes connections.

        A server that a killed hub left on the folder is stopped first. Raises `FolderInUseError`,
        `ServerMissingError`, `AddressUnavailableError`, `BrokerStartError` and `KeyFileError`.
        """
        lock = FolderLock(settings.folder)
        server: Self | None = None
        try:
            await asyncio.to_thread(stop_stale_server, settings.folder)
            program = await asyncio.to_thread(find_program)
            # With the folder's lock held: two hubs must not make keys over one another.
            keys = HubKeys.at(settings.keys)
            ports = Ports(
                client=free_port(LOOPBACK, 0, what="broker"),
                mqtt=free_port(settings.host, settings.mqtt_port, what="MQTT listener"),
            )
            if settings.cluster:
                free_port(settings.host, settings.cluster.port, what="cluster listener")
            server = cls(settings, keys, program, ports)
            server._lock = lock
            write_durably(settings.folder / CONFIG_FILE, server_config(settings, ports, keys).encode())
            await server._launch()
        except BaseException:
            if server is not None:
                await server._end_process()
            lock.release()
            raise
        server._supervision = asyncio.create_task(server._supervise(), name="nats-server")
        return server

    @property
    def pid(self) -> int | None:
        """The server's process id; None while it is being started again."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    def reload(self) -> None:
        """Have the server read its certificate files again.

        It then has every device connect and be judged anew (seen with 2.15.1); the hub's own
        connections stay.
        """
        if self._process is not None and self.pid is not None:
            self._process.send_signal(signal.SIGHUP)

    async def stop(self) -> None:
        """Stop the server and give the folder up; may be called more than once."""
        if self._supervision is not None:
            self._supervision.cancel()
            await asyncio.wait([self._supervision])
            self._supervision = None
        await self._end_process()
        forget_server(self.settings.folder)
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    async def _launch(self) -> None:
        folder = self.settings.folder
        for stale in folder.glob("*.ports"):
            stale.unlink(missing_ok=True)
        command = [str(self._program), "-c", str(folder / CONFIG_FILE)]
        tied = [sys.executable, "-I", "-S", tether.__file__, str(os.getpid())]
        with _private_file(folder / _ERROR_FILE) as errors:
            self._process = await asyncio.create_subprocess_exec(
                *tied,
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=errors,
                # Its own session: a Ctrl-C for the hub must not end the server before the hub has ended.
                start_new_session=True,
                env={"PATH": os.defpath},
                cwd=folder,
            )
        remember_server(folder, self._process.pid)
        await self._until_ready(self._process)

    async def _until_ready(self, process: asyncio.subprocess.Process) -> None:
        """Wait for the file that the server writes once every listener is open."""
        folder = self.settings.folder
        deadline = asyncio.get_running_loop().time() + self.settings.start_timeout_s
        while asyncio.get_running_loop().time() < deadline:
            if process.returncode is not None:
                raise self._start_error(f"the server ended with status {process.returncode}")
            if list(folder.glob(f"*_{process.pid}.ports")):
                return
            await asyncio.sleep(_POLL_S)
        raise self._start_error(f"the server was not ready within {self.settings.start_timeout_s:g} s")

    def _start_error(self, what: str) -> BrokerStartError:
        folder = self.settings.folder
        return BrokerStartError(
            what,
            where=str(folder),
            fix=f"See the last lines of nats-server.log and {_ERROR_FILE} there.",
        )

    async def _supervise(self) -> None:
        loop = asyncio.get_running_loop()
        pause_s = _FIRST_PAUSE_S
        while True:
            since = loop.time()
            status = await self._process.wait() if self._process is not None else None
            if loop.time() - since > _STEADY_S:
                pause_s = _FIRST_PAUSE_S
            log.warning("the broker's server ended (status %s); starting it again in %.1f s", status, pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            self.restarts += 1
            try:
                await self._launch()
            except (BrokerStartError, OSError):
                log.exception("the broker's server could not be started again")
                await self._end_process()

    async def _end_process(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_TIMEOUT_S)
        except TimeoutError:
            log.warning("the broker's server does not end; it is killed")
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _private_file(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
