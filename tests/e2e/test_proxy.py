"""A device that reaches its hub through a proxy alone: enrolment, MQTT and pulls."""

from pathlib import Path

from simulators.demo.stage import Device
from tests.e2e.conftest import NUMBERS, World, command, manifest
from tests.e2e.waiting import wait_until
from tests.network.proxy import Proxy, running

PASSWORD = "device:s3cret-canary"


def test_a_device_behind_a_proxy_enrols_pulls_and_runs(world: World, tmp_path: Path) -> None:
    name = f"dev-{next(NUMBERS)}"
    settings, password = tmp_path / "agent.toml", tmp_path / "password"
    password.write_text(PASSWORD)
    password.chmod(0o600)
    invitation = tmp_path / "invitation.json"
    world.stage.headland("device", "invite", name, "--file", str(invitation))
    with running(Proxy(password=PASSWORD)) as proxy:
        settings.write_text(f'[proxy]\nhttps = "{proxy.url}"\ncredentials_file = "{password}"\n')
        device = Device(name, world.folder, "process", "--config", str(settings))
        world.stage.devices.append(device)
        device.agent("enroll", "--invitation", str(invitation))
        hub, broker = (f"localhost:{port}" for port in (world.stage.https_port, world.stage.mqtt_port))
        assert set(proxy.connects) == {hub}
        device.daemon.start("connected to the hub")
        assert broker in proxy.connects
        before = proxy.bytes_back
        world.workspace.apply_rollout(manifest(name, "digits:1"))
        wait_until(
            lambda: all(d.state == "running" for d in world.workspace.rollout("test").devices),
            "the module runs",
        )
        assert proxy.bytes_back - before > 1_000_000  # the image's layers came through it
        assert set(proxy.connects) == {hub, broker}
        assert "s3cret-canary" not in device.daemon.log
        assert b"s3cret" not in Path(f"/proc/{device.daemon.pid}/cmdline").read_bytes()
        assert b"s3cret" not in Path(f"/proc/{device.daemon.pid}/environ").read_bytes()
        device.daemon.stop()
        device.agent("down")
        world.stage.devices.remove(device)


def test_the_control_a_proxy_that_does_not_let_it_through_ends_the_enrolment(
    world: World, tmp_path: Path
) -> None:
    name = f"dev-{next(NUMBERS)}"
    invitation = tmp_path / "invitation.json"
    world.stage.headland("device", "invite", name, "--file", str(invitation))
    with running(Proxy(password=PASSWORD)) as proxy:
        (tmp_path / "agent.toml").write_text(f'[proxy]\nhttps = "{proxy.url}"\n')
        words = ("--config", str(tmp_path / "agent.toml"), "--state-dir", str(tmp_path / "state"))
        done = command("headland-agent", "enroll", "--invitation", str(invitation), *words)
        assert done.returncode == 1
        assert "the proxy answered 407" in done.stderr
        assert "[hub-unreachable]" in done.stderr
        assert len(proxy.connects) == 1
