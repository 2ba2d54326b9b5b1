"""`headland-agent check`: every look finds what it is for, on real parts."""

import http.server
import os
import shutil
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from agent.checks import identity, machine, network
from agent.checks.all import findings
from agent.checks.finding import Finding, looked
from agent.identity import store
from agent.lock import lock_state
from agent.network.line import DIRECT, open_network
from agent.network.proxies import Proxy as ProxySettings
from agent.private import make_private
from agent.settings import Outbox, Settings
from cloud_hub.pki.authority import Authority
from cloud_hub.settings import Settings as HubSettings
from contract.enrolment import EnrolRequest
from tests.api.conftest import ADMIN, hub_of
from tests.disks import small_disk
from tests.drivers.rig import is_missing
from tests.hub.test_devices import csr
from tests.machine.device import NOW, Enrolled
from tests.network.proxy import Proxy, running

DAY = timedelta(days=1)


class Here(http.server.BaseHTTPRequestHandler):
    """Answers every request; keeps quiet."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def tls_server(authority: Authority, folder: Path, *, issued_at: datetime | None = None) -> Iterator[int]:
    """Serve HTTPS on a port of the loopback and ask for certificates of the authority."""
    key_pem, cert_pem = authority.issue_server(["localhost"], now=issued_at)
    pair = folder / "server.pem"
    pair.write_bytes(key_pem + cert_pem)
    (folder / "client-ca.pem").write_bytes(authority.ca_pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / "client-ca.pem"))
    context.load_cert_chain(pair)
    context.verify_mode = ssl.CERT_REQUIRED
    server = http.server.ThreadingHTTPServer(("localhost", 0), Here)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def settings_of(device: Enrolled, **changed: object) -> Settings:
    return Settings(state_dir=device.state, driver="process", **changed)  # type: ignore[arg-type]


def by_name(found: tuple[Finding, ...]) -> dict[str, Finding]:
    return {finding.name: finding for finding in found}


@pytest.fixture
def hub(folder: Path) -> Iterator[Callable[[], Enrolled]]:
    """A real hub's HTTPS with a broker's port in its name; returns a maker of enrolled devices."""
    with hub_of(HubSettings(data_dir=folder / "hub")) as world:
        pki = world.core.certificate.parent
        authority = Authority.load(pki)
        with tls_server(authority, folder) as mqtt_port:

            def make() -> Enrolled:
                where = str(world.client.base_url).rstrip("/")
                device = Enrolled(folder / "d", hub=where, mqtt_port=mqtt_port)
                device.authority = authority
                device.enrol()
                token = world.services.devices.invite("shop", "cam-1", timedelta(hours=1), ADMIN).token
                answer = world.services.devices.enrol(EnrolRequest(token=token, csr_pem=csr()), ADMIN)
                assert answer.device == "cam-1"
                # The hub knows the certificate that it gave last: let that be the device's.
                with world.core.database.transaction() as session:
                    from cloud_hub.devices.rows import DeviceRow

                    session.get_one(DeviceRow, "cam-1").certificate_serial = serial(device)
                device.state.chmod(0o700)
                return device

            yield make


def serial(device: Enrolled) -> str:
    from cryptography import x509

    from cloud_hub.pki.authority import serial_of

    return serial_of(x509.load_pem_x509_certificate((device.state / "identity/cert.pem").read_bytes()))


def test_where_all_is_well_nothing_is_said(hub: Callable[[], Enrolled]) -> None:
    device = hub()
    (device.state / "desired").mkdir(mode=0o755)  # as an earlier release left it
    daemon = device.daemon()
    daemon.start("driver")
    code, answer = device.ask("check")
    mine = [path for path in device.state.iterdir() if path.name != "run"]
    assert [path.name for path in mine if path.stat().st_mode & 0o077] == []
    daemon.stop()
    wrong = [one for one in answer["findings"] if one["verdict"] != "ok" and one["name"] != "cgroups"]
    assert (wrong, code, answer["failed"]) == ([], 0, 0)
    assert len(answer["findings"]) == 14


def test_each_fault_of_the_identity_is_found_at_the_hub_too(hub: Callable[[], Enrolled]) -> None:
    device = hub()
    found = by_name(findings(settings_of(device)))
    assert {found[name].verdict for name in ("identity", "certificate", "clock", "hub", "broker")} == {"ok"}

    device.enrol()  # a certificate of the hub's CA that the hub does not know
    found = by_name(findings(settings_of(device)))
    assert found["broker"].verdict == "ok", "who knows the CA alone takes it"
    assert "does not know this device's certificate" in found["hub"].words
    assert "--replace" in found["hub"].fix

    device.enrol(issued_at=NOW - 31 * DAY)
    found = by_name(findings(settings_of(device)))
    assert found["certificate"].words.startswith("ended at ")
    assert {found[name].verdict for name in ("certificate", "hub", "broker")} == {"failed"}
    assert "certificate expired" in found["broker"].words

    device.enrol(issued_at=NOW - 26 * DAY)
    found = by_name(findings(settings_of(device)))
    assert (found["certificate"].verdict, found["broker"].verdict) == ("warning", "ok")


def test_another_machine_at_the_hub_s_address_is_found(device: Enrolled, folder: Path) -> None:
    stranger = Enrolled(folder / "stranger")
    with tls_server(stranger.authority, folder) as port:
        device.hub, device.mqtt_port = f"https://localhost:{port}", port
        device.enrol()
        found = by_name(findings(settings_of(device)))
    for name in ("hub", "broker"):
        assert found[name].verdict == "failed"
        assert "does not show a certificate of this device's hub" in found[name].words
    assert found["clock"].verdict == "warning", "a stranger's clock is not believed"


def test_a_hub_that_is_down_is_found_and_the_command_ends_with_1(device: Enrolled) -> None:
    done = device.run("check")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.startswith("failed   hub")]
    assert "localhost:9 does not answer (connection refused)" in lines[at]
    assert lines[at + 1].strip() == f"-> {network.REACH}"


def test_the_clock_is_compared_with_a_hub_whose_certificate_is_over(device: Enrolled, folder: Path) -> None:
    long_ago = NOW - 500 * DAY
    with tls_server(device.authority, folder, issued_at=long_ago) as port:
        device.hub, device.mqtt_port = f"https://localhost:{port}", port
        found = device.enrol()
        hub = network.hub(found, DIRECT)
        assert (hub.verdict, "clock" in hub.fix) == ("failed", True)
        now = datetime.now(UTC)
        assert network.clock(found, DIRECT, now, None).verdict == "ok"
        assert network.clock(found, DIRECT, datetime(1970, 1, 1, tzinfo=UTC), None).verdict == "failed"
        assert (
            "behind the hub's" in network.clock(found, DIRECT, datetime(1970, 1, 1, tzinfo=UTC), None).words
        )
        assert network.clock(found, DIRECT, now + 2 * network.CLOCK_WARNING, None).verdict == "warning"
        ahead = network.clock(found, DIRECT, now + 90 * DAY, None)
        assert (ahead.verdict, "ahead of" in ahead.words) == ("failed", True)


def test_without_a_hub_the_clock_may_not_be_before_what_the_hub_signed(device: Enrolled) -> None:
    assert device.run("apply", device.file(device.document(1, issued_at=NOW + DAY))).returncode == 0
    found = by_name(findings(settings_of(device)))
    assert found["clock"].verdict == "failed"
    assert f"{NOW + DAY:%Y-%m-%d %H:%M}" in found["clock"].words
    at_1970 = identity.certificate(store.load(device.state / "identity"), datetime(1970, 1, 1, tzinfo=UTC))
    assert (at_1970.verdict, at_1970.fix) == ("failed", "Set the clock.")


def test_an_unknown_name_and_a_damaged_identity_are_found(device: Enrolled) -> None:
    device.hub = "https://hub.invalid:8443"
    assert network.name(device.enrol(), DIRECT).verdict == "failed"
    (device.state / "identity/key.pem").chmod(0o644)
    assert "others may read it" in identity.identity(store.load(device.state / "identity")).words
    device.enrol()
    key = (device.state / "identity/key.pem").read_bytes()
    device.enrol()
    (device.state / "identity/key.pem").write_bytes(key)
    assert "do not fit together" in identity.identity(store.load(device.state / "identity")).words


def test_a_device_without_identity_or_folder_is_told_so(device: Enrolled, folder: Path) -> None:
    shutil.rmtree(device.state / "identity")
    code, answer = device.ask("check")
    assert (code, answer["findings"][0]["name"]) == (1, "identity")
    assert "enroll" in answer["findings"][0]["fix"]
    (only,) = findings(Settings(state_dir=folder / "gone"))
    assert (only.name, only.verdict) == ("state folder", "failed")


def test_the_looks_go_the_way_that_the_agent_goes(device: Enrolled, folder: Path) -> None:
    nowhere = ProxySettings(https="http://proxy.invalid:3128")
    with tls_server(device.authority, folder) as port:
        device.hub, device.mqtt_port = f"https://localhost:{port}", port
        found = device.enrol()
        for look in (network.hub, network.broker):
            assert look(found, DIRECT).verdict == "ok"
            assert look(found, open_network(nowhere)).verdict == "failed"
    assert "proxy.invalid" in network.name(found, open_network(nowhere)).words
    past = ProxySettings(https=nowhere.https, no_proxy=("localhost",))
    assert network.name(found, open_network(past)).verdict == "ok"
    assert network.proxy(nowhere).words.startswith("http://proxy.invalid:3128")


def test_the_looks_at_the_hub_go_through_the_proxy_of_the_settings(device: Enrolled, folder: Path) -> None:
    with tls_server(device.authority, folder) as port, running(Proxy()) as proxy:
        device.hub, device.mqtt_port = f"https://localhost:{port}", port
        found = device.enrol()
        way = open_network(ProxySettings(https=proxy.url))
        assert network.name(found, way).words == "127.0.0.1: found"
        assert network.hub(found, way).verdict == "ok"
        assert network.clock(found, way, datetime.now(UTC), None).verdict == "ok"
        assert network.broker(found, way).verdict == "ok"
        assert proxy.connects == [f"localhost:{port}"] * 3
        past = open_network(ProxySettings(https=proxy.url, no_proxy=("localhost",)))
        assert network.hub(found, past).verdict == "ok"
        assert len(proxy.connects) == 3


def test_a_proxy_whose_credentials_cannot_be_read_is_found(device: Enrolled, folder: Path) -> None:
    settings = Settings(
        state_dir=device.state,
        proxy=ProxySettings(https="http://proxy:3128", credentials_file=str(folder / "not-there")),
    )
    found = by_name(findings(settings))
    assert found["proxy"].verdict == "failed"
    assert "not-there" in found["proxy"].words


def test_a_proxy_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in network.PROXIES:
        monkeypatch.delenv(variable, raising=False)
    assert network.proxy(ProxySettings()).verdict == "ok"
    monkeypatch.setenv("HTTPS_PROXY", "http://me:canary@proxy:3128")
    told = network.proxy(ProxySettings())
    assert (told.verdict, "HTTPS_PROXY" in told.words) == ("warning", True)
    assert "canary" not in f"{told}"


@pytest.mark.parametrize(
    ("files", "wanted", "verdict"),
    [
        ({"cgroup.controllers": "cpuset cpu io memory pids"}, "runc", "ok"),
        ({"cgroup.controllers": "cpuset cpu io pids"}, "runc", "failed"),
        ({"cgroup.controllers": "cpuset cpu io pids"}, "auto", "warning"),
        ({"cpu/": "", "memory/": "", "pids/": ""}, "runc", "ok"),
        ({"cpu/": "", "pids/": ""}, "runc", "failed"),
        ({}, "runc", "failed"),
    ],
)
def test_missing_controllers_are_found(
    tmp_path: Path, files: dict[str, str], wanted: str, verdict: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).mkdir() if name.endswith("/") else (tmp_path / name).write_text(text)
    settings = Settings(driver=wanted)  # type: ignore[arg-type]
    assert machine.cgroups(settings, tmp_path).verdict == verdict


@pytest.mark.system
def test_the_driver_says_whether_containers_have_user_namespaces(device: Enrolled) -> None:
    if missing := is_missing("runc-userns"):
        pytest.skip(missing)

    def said(wanted: str) -> str:
        settings = msgspec.structs.replace(settings_of(device), driver="runc", user_namespaces=wanted)
        return looked("driver", lambda: machine.driver(settings)).words

    assert said("auto") == "runc (as set), with user namespaces"
    assert said("off") == "runc (as set), without user namespaces (as set)"


def test_a_driver_that_cannot_be_had_is_found(device: Enrolled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(device.folder))

    def look(wanted: str) -> Finding:
        settings = msgspec.structs.replace(settings_of(device), driver=wanted)
        return looked("driver", lambda: machine.driver(settings))

    assert [look(wanted).verdict for wanted in ("process", "auto", "runc")] == ["ok", "warning", "failed"]
    assert [path.name for path in device.state.iterdir()] == ["identity"], "looks leave nothing behind"


def test_a_daemon_that_hangs_is_found(device: Enrolled) -> None:
    assert machine.daemon(settings_of(device)).verdict == "warning"
    lock = lock_state(device.state)
    assert machine.daemon(settings_of(device)).verdict == "failed"
    with socket.socket(socket.AF_UNIX) as control:
        control.bind(str(device.state / "control.sock"))
        control.listen()
        assert machine.daemon(settings_of(device)).verdict == "ok"
    os.close(lock)


def test_modes_and_lengths_of_the_state_folder(device: Enrolled, folder: Path) -> None:
    def look(path: Path) -> Finding:
        return machine.state_folder(Settings(state_dir=path))

    for mode, verdict in ((0o700, "ok"), (0o711, "ok"), (0o755, "ok"), (0o777, "failed")):
        device.state.chmod(mode)
        assert look(device.state).verdict == verdict
    device.state.chmod(0o755)
    (device.state / "desired").mkdir(mode=0o755)
    (device.state / "outbox.db").write_bytes(b"")
    told = look(device.state)
    assert (told.verdict, "may read desired, outbox.db in" in told.words) == ("warning", True)
    make_private(device.state)
    assert look(device.state).verdict == "ok"
    for chars, verdict in ((30, "ok"), (60, "warning"), (90, "failed")):
        long = folder / ("x" * (chars - len(str(folder)) - 1))
        long.mkdir(mode=0o700)
        assert look(long).verdict == verdict


@pytest.mark.system
def test_a_full_disk_is_found_by_a_write(device: Enrolled) -> None:
    small = device.folder / "small"
    settings = Settings(state_dir=small, outbox=Outbox(max_bytes=1 << 20))
    with small_disk(small, "24m"):
        assert machine.disk(settings).verdict == "ok"
        assert machine.disk(Settings(state_dir=small)).verdict == "warning", "a full outbox would not fit"
        filler = small / "filler"
        filler.write_bytes(bytes(12 << 20))
        assert machine.disk(settings).verdict == "failed"
        with pytest.raises(OSError, match="No space left"), filler.open("ab") as file:
            file.write(bytes(24 << 20))
        full = machine.disk(settings)
        assert (full.verdict, "takes no write" in full.words) == ("failed", True)
        assert [path.name for path in small.iterdir()] == ["filler"]


def test_a_look_that_cannot_look_is_no_verdict_of_well() -> None:
    def look() -> Finding:
        raise PermissionError(13, "Permission denied")

    assert looked("disk", look).verdict == "failed"
