"""Three real hub processes on one PostgreSQL, one S3 and a NATS cluster, behind a real HAProxy."""

import shutil
import subprocess
from pathlib import Path

import psutil
import psycopg

import cloud_hub.db.schema  # noqa: F401  every table that rows refer to
from cloud_hub.activities.queue import Queue
from cloud_hub.db.engine import Database
from cloud_hub.sdk import Hub, HubProcess, HubUnreachableError
from simulators.demo.stage import Daemon, Stage, free_port
from tests.activities import journal
from tests.conformance.servers import Service
from tests.e2e.waiting import wait_until
from tests.postgres import Postgres

CONFIG = Path(__file__).parents[2] / "configs" / "haproxy.cfg"
HOST = "127.0.0.1"
PASSPHRASE = "correct horse battery"


class Hubs(Stage):
    """`Stage` whose hub is three processes; ``https_port`` and ``mqtt_port`` are the balancer's."""

    def __init__(self, folder: Path, server: Postgres, store: Service) -> None:
        super().__init__(folder)
        self.server, self.store = server, store
        self.store_url = store.url()
        self.ports = [(free_port(), free_port()) for _ in range(3)]
        self.addresses = [f"{HOST}:{free_port()}" for _ in range(3)]
        self.folders = [folder / f"hub-{number}" for number in range(3)]
        self.data_dir = self.folders[0]
        self.processes = [
            Daemon(f"hub-{number}", folder, ("python", "-m", "tests.activities.hub_process", str(path)))
            for number, path in enumerate(self.folders)
        ]
        self.balancer: subprocess.Popen[bytes] | None = None

    def make(self, *options: str) -> None:
        """Make one hub, give its keys to two others, start them all."""
        members = [word for address in self.addresses for word in ("--cluster-member", address)]
        (https, mqtt), passphrase = self.ports[0], self.folder / "passphrase"
        passphrase.write_text(PASSPHRASE)
        self.headland(
            "hub", "init", "--data-dir", str(self.folders[0]),
            "--database", self.server.url(self.server.newest),
            "--object-store", self.store_url, "--https-port", str(https), "--mqtt-port", str(mqtt),
            "--public-https-port", str(self.https_port), "--public-mqtt-port", str(self.mqtt_port),
            "--cluster-address", self.addresses[0], *members, *options,
        )  # fmt: skip
        for path in self.folders[:1]:
            toml = path / "hub.toml"
            toml.write_text(toml.read_text().replace("activity_lease_s = 30.0", "activity_lease_s = 4.0"))
        keys = self.folder / "hub.keys"
        self.headland(
            "hub",
            "export-keys",
            str(keys),
            "--data-dir",
            str(self.folders[0]),
            "--passphrase-file",
            str(passphrase),
        )
        for number in (1, 2):
            https, mqtt = self.ports[number]
            self.headland(
                "hub", "join", str(keys), "--data-dir", str(self.folders[number]),
                "--passphrase-file", str(passphrase), "--cluster-address", self.addresses[number],
                "--https-port", str(https), "--mqtt-port", str(mqtt),
            )  # fmt: skip
        self.start_all()
        self.balance()

    def start_all(self) -> None:
        """Start the processes together: none is ready before most of them are there."""
        for process in self.processes:
            process.begin()
        for process in self.processes:
            process.wait_for("hub ready")

    def balance(self) -> None:
        """Run HAProxy with the example's configuration, its addresses replaced by ours."""
        text = CONFIG.read_text().replace(
            "/etc/haproxy/headland-ca.pem", str(self.folders[0] / "pki" / "ca.pem")
        )
        text = text.replace("bind :8443", f"bind {HOST}:{self.https_port}")
        text = text.replace("bind :8883", f"bind {HOST}:{self.mqtt_port}")
        for number, (https, mqtt) in enumerate(self.ports, 1):
            text = text.replace(f"10.0.0.{number}:8883 port 8443", f"{HOST}:{mqtt} port {https}")
            text = text.replace(f"10.0.0.{number}:8443", f"{HOST}:{https}")
        assert "10.0.0." not in text
        config = self.folder / "haproxy.cfg"
        config.write_text(text)
        program = shutil.which("haproxy")
        assert program is not None
        subprocess.run([program, "-c", "-q", "-f", config], check=True)
        self.balancer = subprocess.Popen([program, "-db", "-q", "-f", config])
        wait_until(self._answers, "the hubs answer through the balancer")

    def _answers(self) -> bool:
        assert self.balancer is not None
        assert self.balancer.poll() is None, "the balancer ended"
        try:
            return bool(self.members())
        except HubUnreachableError:
            return False

    def queue_journal(self, traces: Path, **parameters: object) -> str:
        """Queue an activity of the tests' own kind, as a service of a hub would; return its id."""
        database = Database(self.server.url(self.server.newest))
        try:
            with database.transaction() as session:
                queue = Queue(database, lambda _session, _row: None, lease_s=30.0)
                asked = {"folder": str(traces), **parameters}
                return queue.add(session, "shop", journal.NAME, "admin", asked).id
        finally:
            database.close()

    def holder_of(self, activity: str) -> Daemon:
        """Return the process that works on an activity."""
        with psycopg.connect(self.server.url(self.server.newest)) as rows:
            found = rows.execute("SELECT holder FROM activities WHERE id = %s", [activity]).fetchone()
        assert found is not None
        (process,) = [each for each in self.processes if f":{each.pid}:" in found[0]]
        return process

    def durable_bytes(self) -> int:
        """Return how far the database says that an upload is."""
        with psycopg.connect(self.server.url(self.server.newest)) as rows:
            found = rows.execute("SELECT coalesce(max(offset_bytes), 0) FROM uploads").fetchone()
        return int(found[0]) if found else 0

    def cpu_s(self) -> list[float]:
        """Return the processor time that each process has used."""
        times = [psutil.Process(process.pid).cpu_times() for process in self.processes]
        return [each.user + each.system for each in times]

    def members(self) -> list[HubProcess]:
        with Hub.connect() as hub:
            return hub.processes()

    def wait_for_all(self) -> None:
        """Wait until every process is here and does its share."""

        def shared() -> bool:
            found = self.members()
            shares = [len(member.work) for member in found if member.here]
            return len(shares) == 3 and sum(shares) == 9 and max(shares) == 3

        wait_until(shared, "three hubs share the work")

    def close(self, *, keep: bool = False) -> list[int]:
        """Take everything down."""
        for process in self.processes:
            process.stop()
        if self.balancer is not None:
            self.balancer.terminate()
            self.balancer.wait(10)
        return super().close(keep=keep)
