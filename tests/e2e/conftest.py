"""One real hub for the session, with models and images; each test enrols devices of its own."""

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cloud_hub.sdk import Hub, Workspace
from simulators.demo import digits as data
from simulators.demo.stage import Device, Stage

FAILS_AT_START = "def init():\n    raise RuntimeError('no')\n\ndef run(raw_data):\n    return 1\n"
NEVER_READY = "import time\n\ndef init():\n    time.sleep(600)\n\ndef run(raw_data):\n    return 1\n"
JOB = """import os, time

def init():
    time.sleep(float(os.environ.get('WORK_S', '0')))
    os._exit(int(os.environ['CODE']))

def run(raw_data):
    return 1
"""


@dataclass(frozen=True)
class World:
    """The hub, its workspace, and the digits that its models were trained on."""

    stage: Stage
    workspace: Workspace
    digits: data.Digits
    folder: Path


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """A hub with images digits:1, digits:2, crashing:1, silent:1 and job:1."""
    # Not pytest's own folder: a socket's path may have 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="hl-e2e-"))
    stage = Stage(folder)
    try:
        stage.make_hub()
        stage.headland("workspace", "create", "shop")
        digits = data.load()
        with Hub.connect() as hub:
            workspace = hub.workspace()
            for kind in ("logistic", "mlp"):
                data.train_and_register(workspace, digits, kind, folder)
            for image, model, script in (
                ("digits", "digits:1", None),
                ("digits", "digits:2", None),
                ("crashing", "digits:1", FAILS_AT_START),
                ("silent", "digits:1", NEVER_READY),
                ("job", "digits:1", JOB),
            ):
                path = None
                if script is not None:
                    path = folder / f"{image}.py"
                    path.write_text(script)
                workspace.build_image(image, model, path)
            yield World(stage, workspace, digits, folder)
    finally:
        left = stage.close()
    assert left == [], "processes were left behind"


RUNC_WORKS = os.geteuid() == 0 and shutil.which("runc") is not None


@pytest.fixture(
    params=[
        # Where runc works the other driver is for the long tests: its own suite, those that are above the
        # drivers and the second demo try it each time.
        pytest.param("process", marks=[pytest.mark.soak] if RUNC_WORKS else []),
        pytest.param("runc", marks=pytest.mark.system),
    ]
)
def driver(request: pytest.FixtureRequest) -> str:
    """Each driver that runs real containers."""
    name: str = request.param
    if name == "runc" and not RUNC_WORKS:
        pytest.skip("the runc driver needs root and runc (Debian, Ubuntu: apt install runc)")
    return name


above_drivers = pytest.mark.parametrize("driver", ["process"], indirect=True)
"""For what is tried above the drivers: one of them is enough."""
NUMBERS = itertools.count(1)
RollOut = Callable[..., None]


@pytest.fixture
def device(world: World, driver: str) -> Iterator[Device]:
    """A freshly enrolled device with a running agent."""
    device = world.stage.enrol_device(f"dev-{next(NUMBERS)}", driver)
    yield device
    device.daemon.stop()
    device.agent("down")
    world.stage.devices.remove(device)


Owner = Callable[..., Device]


@pytest.fixture
def owner(world: World, driver: str, tmp_path: Path) -> Iterator[Owner]:
    """A device's owner: ``owner(settings, policy)`` writes the policy, and returns the device."""
    policy, settings = tmp_path / "policy.toml", tmp_path / "agent.toml"
    made: list[Device] = []

    def writes(chosen: str, allowed: str) -> Device:
        beside = policy.with_suffix(".new")
        beside.write_text(allowed)
        beside.replace(policy)
        if not made:
            settings.write_text(f"policy_file = '{policy}'\n{chosen}")
            name = f"dev-{next(NUMBERS)}"
            device = Device(name, world.stage.folder, driver, "--config", str(settings))
            made.append(world.stage.enrol(device))
            device.daemon.start("connected to the hub")
        return made[0]

    yield writes
    for device in made:
        device.daemon.stop()
        device.agent("down")
        world.stage.devices.remove(device)


def manifest(devices: str, image: str, **module: str) -> str:
    """Return a rollout manifest for one module named scorer."""
    extra = "".join(f"      {key}: {value}\n" for key, value in module.items())
    return (
        "apiVersion: headland/v1\nkind: Rollout\nmetadata:\n  name: test\nspec:\n"
        f"  target:\n    devices: [{devices}]\n  modules:\n    scorer:\n      image: {image}\n{extra}"
    )


@pytest.fixture
def roll_out(world: World, device: Device, tmp_path: Path) -> Callable[..., None]:
    """Apply a rollout of an image to the device and wait until it runs."""

    def apply(image: str, **module: str) -> None:
        path = tmp_path / "rollout.yaml"
        path.write_text(manifest(device.name, image, **module))
        world.stage.headland("rollout", "apply", "--file", str(path), "--wait", "60")

    return apply


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of our commands as a person would."""
    program = str(Path(sys.executable).parent / arguments[0])
    return subprocess.run([program, *arguments[1:]], capture_output=True, text=True, check=False)


def scoring_processes(device: Device) -> list[int]:
    """Return the processes of the device's containers, found by what their environment says."""
    found = []
    ids = {container["id"] for container in device.agent("status")["containers"]}
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            environ = path.read_bytes().split(b"\0")
            command = path.with_name("cmdline").read_bytes()
        except OSError:
            continue
        mine = {f"HEADLAND_CONTAINER={container}".encode() for container in ids}
        if mine & set(environ) and b"modules.serving" in command:
            found.append(int(path.parent.name))
    return found
