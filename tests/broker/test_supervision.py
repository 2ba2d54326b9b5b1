"""The server's life: it ends with the hub, starts again by itself, and leaves no secret lying about."""

import asyncio
import logging
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from cloud_hub.broker.broker import Broker
from cloud_hub.broker.errors import AddressUnavailableError, BrokerStartError, FolderInUseError
from cloud_hub.broker.folder import ProcessIdentity, remember_server, stop_stale_server
from contract import topics
from tests.broker.conftest import Connect, Fleet, StartBroker, eventually

HUB = """
import asyncio, sys
from pathlib import Path
from cloud_hub.broker.broker import Broker
from cloud_hub.broker.settings import BrokerSettings

async def main() -> None:
    f = Path(sys.argv[1])
    settings = BrokerSettings(folder=f / "broker", host="127.0.0.1", mqtt_port=0,
        cert_file=f / "server.pem", key_file=f / "server-key.pem", ca_file=f / "ca.pem", keys=f / "keys")
    broker = await Broker.start(settings, lambda device, serial: True)
    print(broker.server.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def runs(pid: int) -> bool:
    """Whether the process lives (a zombie does not)."""
    return ProcessIdentity.of(pid) is not None


async def test_server_does_not_outlive_a_killed_hub(fleet: Fleet, start_broker: StartBroker) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HUB), str(fleet.folder)], stdout=subprocess.PIPE, text=True
    ) as hub:
        assert hub.stdout is not None
        server = int(await asyncio.to_thread(hub.stdout.readline))
        assert runs(server)
        hub.kill()
    await eventually(lambda: not runs(server))
    # The folder is free again: the killed hub's lock went with it.
    assert (await start_broker()).server.pid is not None


async def test_stop_ends_the_server_and_frees_the_ports(broker: Broker, fleet: Fleet) -> None:
    pid = broker.server.pid
    assert pid is not None
    assert runs(pid)
    await broker.stop()
    assert not runs(pid)
    for port in (broker.mqtt_port, broker.server.ports.client):
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_server_is_started_again_on_the_same_ports(broker: Broker) -> None:
    ports = broker.server.ports
    for round_number in (1, 2):
        killed = broker.server.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        await eventually(lambda killed=killed: broker.server.pid not in {None, killed})  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        assert broker.server.restarts == round_number
    assert broker.server.ports == ports
    await eventually_publishes(broker)


async def test_stop_while_the_server_is_being_started_again(broker: Broker) -> None:
    killed = broker.server.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    await eventually(lambda: broker.server.pid is None)
    await broker.stop()
    assert broker.server.pid is None


async def test_mqtt_port_in_use_is_named(fleet: Fleet, start_broker: StartBroker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressUnavailableError, match=f"127.0.0.1:{port}.*Stop the program"):
            await start_broker(settings=fleet.settings(mqtt_port=port))
    await start_broker(settings=fleet.settings(mqtt_port=port))


async def test_address_of_another_machine_is_refused(fleet: Fleet, start_broker: StartBroker) -> None:
    with pytest.raises(AddressUnavailableError, match="address of this machine"):
        await start_broker(settings=fleet.settings(host="192.0.2.1"))


async def test_server_that_cannot_start_points_to_its_log(fleet: Fleet, start_broker: StartBroker) -> None:
    missing = fleet.settings(cert_file=fleet.folder / "missing.pem")
    with pytest.raises(BrokerStartError, match=r"nats-server\.err"):
        await start_broker(settings=missing)
    assert b"missing.pem" in (missing.folder / "nats-server.err").read_bytes()
    await start_broker()


async def test_second_hub_on_the_folder_is_refused_and_the_first_unhurt(
    broker: Broker, start_broker: StartBroker
) -> None:
    pid = broker.server.pid
    with pytest.raises(FolderInUseError):
        await start_broker()
    assert broker.server.pid == pid
    assert broker.server.restarts == 0


async def test_stale_server_is_stopped_by_its_identity(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as left_behind:
        remember_server(tmp_path, left_behind.pid)
        assert await asyncio.to_thread(stop_stale_server, tmp_path)
        assert left_behind.wait(5) == -signal.SIGTERM
    assert not await asyncio.to_thread(stop_stale_server, tmp_path)


async def test_stale_server_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE) as left_behind:
        assert left_behind.stdout is not None
        left_behind.stdout.readline()
        remember_server(tmp_path, left_behind.pid)
        assert await asyncio.to_thread(stop_stale_server, tmp_path, timeout_s=0.5)
        assert left_behind.wait(5) == -signal.SIGKILL


async def test_another_process_with_the_noted_pid_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as innocent:
        remember_server(tmp_path, innocent.pid)
        note = tmp_path / "nats-server.pid"
        identity = ProcessIdentity.of(innocent.pid)
        assert identity is not None
        ticks = str(identity.started_ticks)
        note.write_text(note.read_text().replace(ticks, str(identity.started_ticks - 1)))
        assert not stop_stale_server(tmp_path)
        assert innocent.poll() is None
        note.write_text("not json")
        assert not stop_stale_server(tmp_path)
        assert innocent.poll() is None
        innocent.kill()


async def test_no_secret_in_configuration_or_logs(
    fleet: Fleet, broker: Broker, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    device = await connect(broker, fleet.enrol("cam-1"))
    await asyncio.to_thread(device.publish, topics.hello("cam-1"), b"hi")
    await asyncio.to_thread(device.subscribe, "#")
    folder = fleet.folder / "broker"
    keys = sorted((fleet.folder / "keys").iterdir())
    seeds = [path.read_bytes().strip() for path in keys]
    assert len(seeds) == 4
    await broker.stop()
    found = [
        path
        for path in [*folder.rglob("*"), *keys]
        if path.is_file() and any(seed in path.read_bytes() for seed in seeds)
    ]
    # Finding the key files themselves is the proof that the search can find something.
    assert sorted(found) == keys
    assert not any(seed.decode() in caplog.text for seed in seeds)
    assert b"Server is ready" in (folder / "nats-server.log").read_bytes()


async def test_files_are_the_owners_alone(fleet: Fleet, broker: Broker) -> None:
    folder = fleet.folder / "broker"
    private = fleet.folder / "keys"
    kept = [folder, *folder.rglob("*"), private, *private.iterdir()]
    open_to_others = [path for path in kept if _mode(path) & 0o077]
    assert open_to_others == []


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def eventually_publishes(broker: Broker) -> None:
    heard: list[bytes] = []

    async def hear(message: object) -> None:
        heard.append(b"")

    await broker.bus.subscribe("test/echo", hear)
    await broker.bus.publish("test/echo", b"")
    await eventually(lambda: bool(heard))
