"""Secrets of modules end to end: given to containers, found nowhere else, and how they live."""

import hashlib
import json
import os
import secrets
import signal
import subprocess
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agent.endpoints.unix_client import UnixHttpConnection
from simulators.demo.stage import Device, StageError
from tests.e2e import canary
from tests.e2e.conftest import World, manifest, scoring_processes
from tests.e2e.waiting import wait_until

# It tells a hash of what it was given, and how that lies there.
SCRIPT = """
import hashlib, os

def init():
    global found
    folder = os.environ.get("HEADLAND_SECRETS_DIR", "/none")
    found = {}
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        path = os.path.join(folder, name)
        try:
            open(os.path.join(folder, "new"), "w").close()
            writable = True
        except OSError:
            writable = False
        with open(path, "rb") as file:
            value = file.read()
        found[name] = {
            "sha256": hashlib.sha256(value).hexdigest(), "mode": os.stat(path).st_mode & 0o777,
            "writable": writable, "folder": folder, "file": os.environ.get("PASSWORD_FILE", ""),
            "same": open(os.environ["PASSWORD_FILE"], "rb").read() == value,
        }

def run(raw_data):
    return found
"""
RUNNING = "running"


@pytest.fixture(scope="module")
def telling(world: World) -> str:
    """The name of an image that tells what it was given."""
    script = world.folder / "telling.py"
    script.write_text(SCRIPT)
    world.workspace.build_image("telling", "digits:1", script)
    return "telling:1"


class Vault:
    """One secret of the workspace, whose values reach the hub by the command, as a person gives them."""

    def __init__(self, world: World, folder: Path) -> None:
        self._world, self._folder = world, folder
        self.name = f"db-{secrets.token_hex(4)}"

    def set(self) -> str:
        """Store a next value, which is not written down anywhere that is looked through; return it."""
        value, file = f"canary-{secrets.token_hex(16)}", self._folder / "value"
        file.write_text(value)
        self._world.stage.headland("secret", "set", self.name, "--from-file", str(file))
        file.unlink()
        return value

    def destroy(self, version: int) -> None:
        self._world.stage.headland("secret", "delete", f"{self.name}:{version}")


@pytest.fixture
def vault(world: World, tmp_path: Path) -> Vault:
    return Vault(world, tmp_path)


def apply(world: World, device: Device, image: str, **module: str) -> None:
    world.workspace.apply_rollout(manifest(device.name, image, **module))


def module_of(world: World, device: Device) -> tuple[str, str]:
    """Return state and reason of the one module, once the hub knows of the newest document."""
    held = world.workspace.rollout("test").devices[0].generation
    reported: dict[str, Any] = world.workspace.device(device.name).reported or {}
    if reported.get("generation") != held:
        return "", ""
    (module,) = reported["modules"]
    return module["state"], module["reason"]


def runs(world: World, device: Device) -> None:
    wait_until(lambda: module_of(world, device)[0] == RUNNING, "it runs", within_s=180)


def told(device: Device) -> dict[str, Any]:
    """Return what the module says of what it was given."""
    with closing(UnixHttpConnection(device.endpoint())) as connection:
        connection.request("POST", "/score", json.dumps({"data": [[0]]}))
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
    found: dict[str, Any] = answer.get("result", answer)
    return found


def digest_of(device: Device) -> str:
    return str(told(device)["password"]["sha256"])


def sha256(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def kill_containers(device: Device) -> None:
    for pid in scoring_processes(device):
        os.kill(pid, signal.SIGKILL)


def memory_of(device: Device) -> set[int]:
    """Return the numbers of the file systems in memory in which the device's secrets are in use."""
    place = device.state_dir / "secrets-in-use"
    return {place.stat().st_dev} if place.is_mount() else set()


def test_a_value_is_with_the_module_and_found_nowhere_else(
    world: World, device: Device, driver: str, telling: str, vault: Vault, tmp_path: Path
) -> None:
    value, control = vault.set(), f"canary-{secrets.token_hex(16)}"
    with canary.listening(world.stage.data_dir) as heard:
        apply(
            world, device, telling, secrets=f"{{password: {vault.name}}}",
            env=f"{{PASSWORD_FILE: /run/secrets/password, IN_CLEAR: {control}}}",
        )  # fmt: skip
        runs(world, device)
        given = told(device)["password"]
        assert (given["sha256"], given["same"], given["mode"]) == (sha256(value), True, 0o400)
        if driver == "runc":
            assert (given["writable"], given["folder"]) == (False, "/run/secrets")
        # Errors, reports and restarts with it at hand.
        kill_containers(device)
        device.daemon.wait_for("stopped by itself")
        wait_until(lambda: bool(scoring_processes(device)), "it is started again")
        runs(world, device)
        device.daemon.kill()
        device.daemon.start("connected to the hub")
        wait_until(lambda: digest_of(device) == sha256(value), "it answers")
        path = tmp_path / "refused.yaml"
        path.write_text(manifest(device.name, telling, secrets="{password: no-such-one}"))
        with pytest.raises(StageError) as refused:
            world.stage.headland("rollout", "apply", "--file", str(path))
        assert "no such secret in this workspace" in str(refused.value)
    # What commands print, a bundle with logs, and what runc says of the container.
    bundle = tmp_path / "bundle.tar.gz"
    device.agent("support-bundle", "--file", str(bundle), "--with-logs")
    with tarfile.open(bundle) as tar:
        tar.extractall(tmp_path / "bundle", filter="data")
    said = [
        device.agent("status"),
        device.agent("logs", "scorer"),
        world.stage.headland("device", "show", device.name),
        world.stage.headland("rollout", "show", "test"),
        world.stage.headland("secret", "show", vault.name),
        world.stage.headland("audit", "list"),
        str(refused.value),
        _runc(device),
    ]
    (tmp_path / "printed").write_text(json.dumps(said))

    def search(wanted: str) -> dict[str, set[str]]:
        memory = frozenset(memory_of(device))
        broker = [message for message in heard if canary.in_bytes(message, wanted)]
        return {
            "device and hub": canary.in_files(world.folder, wanted, but=memory),
            "processes": canary.in_processes(wanted),
            "broker": {"messages"} if broker else set(),
            "printed": canary.in_files(tmp_path, wanted),
        }

    assert len(heard) > 2
    assert search(value) == {"device and hub": set(), "processes": set(), "broker": set(), "printed": set()}

    if os.geteuid() == 0:
        # That the search would find it: in memory, which it passed over, it does.
        in_use = canary.in_files(device.state_dir, value)
        assert {name.partition("/")[0] for name in in_use} == {"secrets-in-use"}

    # The negative control: the same search finds what was given by `env`.
    found = search(control)
    names = {Path(name).name for name in found["device and hub"]}
    assert {"desired.json", "memory.json", "record.json"} <= names
    assert {"hub.db", "hub.db-wal"} & names
    assert ("config.json" in names) == (driver == "runc")
    assert any(name.startswith("environ") for name in found["processes"])
    assert found["broker"]
    assert (
        "0" in Path(f"/proc/{device.daemon.pid}/limits").read_text().split("Max core file size")[1].split()[0]
    )


def _runc(device: Device) -> str:
    """Return what runc tells of the device's containers; nothing with another driver."""
    root = device.state_dir / "runc"
    ids = [str(container["id"]) for container in device.agent("status")["containers"]]
    if not root.is_dir():
        return ""
    said = [
        subprocess.run(["runc", "--root", root, "state", one], capture_output=True, check=True) for one in ids
    ]
    return "".join(one.stdout.decode() for one in said)


@pytest.mark.parametrize(
    "driver",
    [pytest.param("process", marks=pytest.mark.soak), pytest.param("runc", marks=pytest.mark.system)],
    indirect=True,
)
def test_what_becomes_of_a_secret_in_time(world: World, device: Device, telling: str, vault: Vault) -> None:
    first = vault.set()
    given = {"secrets": f"{{password: {vault.name}}}", "env": "{PASSWORD_FILE: /run/secrets/password}"}
    apply(world, device, telling, **given)
    runs(world, device)
    assert digest_of(device) == sha256(first)
    sealed = device.state_dir / "secrets" / f"{vault.name}.1"
    assert sealed.is_file()

    # A new value waits for the next apply, and comes by an update.
    second = vault.set()
    kill_containers(device)
    wait_until(lambda: _answers(device, first), "it answers with what was settled")
    apply(world, device, telling, **given)
    wait_until(lambda: _answers(device, second), "it answers with the new value")
    runs(world, device)
    wait_until(lambda: not sealed.exists(), "the old value is gone")

    # Damaged on disk and no hub: what runs, runs on; it crashes, waits, and comes back with the hub.
    device.daemon.kill()
    sealed = sealed.with_name(f"{vault.name}.2")
    sealed.write_bytes(sealed.read_bytes()[:-1] + b"\0")
    device.daemon.start("connected to the hub")
    device.daemon.wait_for(f"secret {vault.name}:2 is here")
    assert _answers(device, second)

    # An update whose value was destroyed fails, and the old one serves.
    vault.set()
    text = manifest(device.name, telling, **given)
    world.stage.hub.stop()
    try:
        # No hub, and nothing left in memory, as after a reboot: it starts from what is sealed.
        device.daemon.kill()
        kill_containers(device)
        _empty_memory(device)
        device.daemon.begin()
        wait_until(lambda: _answers(device, second), "it starts without the hub")
    finally:
        world.stage.hub.start("hub ready")
    device.daemon.wait_for("connected to the hub")
    device.daemon.kill()
    world.workspace.apply_rollout(text)
    vault.destroy(3)
    device.daemon.start("connected to the hub")
    wait_until(lambda: module_of(world, device)[0] == "rolled_back", "it went back", within_s=120)
    assert "secret-gone" in module_of(world, device)[1]
    assert _answers(device, second)

    # Nothing refers to it: it is deleted, and what was in memory is gone.
    apply(world, device, telling, env="{PASSWORD_FILE: /dev/null}")
    runs(world, device)
    wait_until(lambda: not any(sealed.parent.iterdir()), "no value is kept")
    wait_until(lambda: not memory_of(device), "nothing is in memory")
    assert told(device) == {}


def _answers(device: Device, value: str) -> bool:
    try:
        return digest_of(device) == sha256(value)
    except (OSError, KeyError, ValueError):
        return False


def _empty_memory(device: Device) -> None:
    """Take away what a reboot does: the file system in memory with all that is in it."""
    if memory_of(device):
        subprocess.run(["umount", "-l", device.state_dir / "secrets-in-use"], check=True)
