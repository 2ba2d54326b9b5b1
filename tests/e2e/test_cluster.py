"""Three hubs behave as one: any of them is killed while people and a device work, and nothing is lost."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import pytest
from msgspec.structs import replace

from cloud_hub.sdk import Hub, HubRefusedError, HubUnreachableError
from simulators.demo import digits as data
from simulators.demo.stage import Daemon, Device
from simulators.sensors.digits import DigitsSensor
from tests.activities import journal
from tests.conformance.servers import s3
from tests.e2e.conftest import World, command, manifest
from tests.e2e.hubs import Hubs
from tests.e2e.test_update import judge
from tests.e2e.waiting import wait_until
from tests.postgres import running_server, why_not

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]
RATE_HZ = 40.0
T = TypeVar("T")


@pytest.fixture(scope="module")
def hubs() -> Iterator[Hubs]:
    """Three hubs that run, with a workspace."""
    reason = why_not() or ("" if shutil.which("haproxy") else "there is no haproxy (apt install haproxy)")
    if reason:
        pytest.skip(reason)
    with pytest.MonkeyPatch.context() as patch, running_server() as server, s3() as store:
        server.create()
        patch.setenv("HEADLAND_CONTEXT", "set by the stage, restored after the tests")
        for name, value in store.credentials.items():
            patch.setenv(name, value)
        hubs = Hubs(Path(tempfile.mkdtemp(prefix="hl-three-")), server, store)
        try:
            hubs.make()
            hubs.headland("workspace", "create", "shop")
            yield hubs
        finally:
            left = hubs.close()
    assert left == [], "processes were left behind"


@pytest.fixture(scope="module")
def world(hubs: Hubs) -> Iterator[World]:
    """Their workspace with digits:1 and its image."""
    digits = data.load()
    with Hub.connect() as hub:
        workspace = hub.workspace()
        data.train_and_register(workspace, digits, "logistic", hubs.folder)
        workspace.build_image("digits", "digits:1")
        yield World(hubs, workspace, digits, hubs.folder)


@pytest.fixture
def device(world: World) -> Iterator[Device]:
    device = world.stage.enrol_device("dev-1", "process")
    yield device
    device.daemon.stop()
    device.agent("down")
    world.stage.devices.remove(device)


def until_answered(ask: Callable[[], T]) -> T:
    """Ask again while a hub dies with the question, as a person would."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return ask()
        except HubUnreachableError:
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_each_does_a_share_and_what_one_is_told_the_others_know(hubs: Hubs) -> None:
    hubs.wait_for_all()
    members = hubs.members()
    assert [member.address for member in members] == sorted(hubs.addresses)
    assert sorted(len(member.work) for member in members) == [3, 3, 3]
    assert len({work for member in members for work in member.work}) == 9
    with Hub.connect() as balanced:
        context = balanced.context
    contexts = [replace(context, hub=f"https://localhost:{https}") for https, _ in hubs.ports]
    with Hub(contexts[0]) as one, Hub(contexts[1]) as two, Hub(contexts[2]) as three:
        each = [hub.workspace() for hub in (one, two, three)]
        each[0].set_secret("shared", "s3cret")
        assert [workspace.get_secret("shared") for workspace in each] == ["s3cret"] * 3
        each[1].delete_secret("shared")
        for workspace in each:
            with pytest.raises(HubRefusedError, match="shared"):
                workspace.get_secret("shared")
            assert workspace.audit.verify().faults == []


def test_every_hub_is_killed_once_and_nothing_is_lost(
    hubs: Hubs, world: World, device: Device, tmp_path: Path
) -> None:
    path = tmp_path / "rollout.yaml"
    path.write_text(manifest(device.name, "digits:1"))
    hubs.headland("rollout", "apply", "--file", str(path), "--wait", "60")
    sensor = DigitsSensor(device.name, device.endpoint(), "digits", world.digits.held_out_images, RATE_HZ)
    sensor.start()
    for number, process in enumerate(hubs.processes):
        time.sleep(1.5)
        process.kill()
        name = f"left-{number}"
        until_answered(lambda name=name: world.workspace.start_run(name).finish())  # type: ignore[misc]
        time.sleep(3)
        process.start("hub ready")
        hubs.wait_for_all()
    judge(world, device, sensor.stop(), within_s=240)
    assert {run.experiment for run in world.workspace.runs()} >= {"left-0", "left-1", "left-2"}


def test_an_activity_goes_on_at_another_hub(hubs: Hubs, world: World, tmp_path: Path) -> None:
    hubs.wait_for_all()
    activity = hubs.queue_journal(tmp_path, hold=1)
    wait_until(lambda: "step 1" in journal.entries(tmp_path), "it is under way")
    process = hubs.holder_of(activity)
    process.kill()
    (tmp_path / "go").touch()
    wait_until(lambda: until_answered(lambda: world.workspace.activity(activity)).ended, "it ends")
    done = world.workspace.activity(activity)
    assert (done.state, done.attempt, journal.runs(tmp_path)) == ("completed", 2, 2)
    process.start("hub ready")


def test_an_upload_goes_on_at_another_hub(hubs: Hubs, world: World, tmp_path: Path) -> None:
    hubs.wait_for_all()
    big = tmp_path / "big.bin"
    big.write_bytes(bytes(range(256)) * (256 * 1024))  # 64 MiB
    offsets: list[int] = []
    killed: list[Daemon] = []
    before = hubs.cpu_s()

    def moved(done_bytes: int, size_bytes: int) -> None:
        offsets.append(done_bytes)
        if not killed and done_bytes > size_bytes // 2 and hubs.durable_bytes() > 0:
            worked = [now - then for now, then in zip(hubs.cpu_s(), before, strict=True)]
            killed.append(hubs.processes[worked.index(max(worked))])  # who takes it in
            killed[0].kill()

    model = world.workspace.register_model("big", big, framework="custom", moved=moved)
    (process,) = killed
    cut = next(n for n, (a, b) in enumerate(pairwise(offsets)) if b < a)
    assert offsets[cut + 1] > 0, "it began anew"
    assert model.size_bytes == big.stat().st_size
    world.workspace.download_model("big:1", tmp_path / "back")
    assert (tmp_path / "back" / "big.bin").read_bytes() == big.read_bytes()
    assert list(hubs.store.open(hubs.store_url).keys("uploads")) == []
    process.start("hub ready")


def test_keys_are_not_rotated_under_the_others(hubs: Hubs) -> None:
    hubs.processes[0].stop()
    try:
        done = command("headland", "hub", "rotate-master-key", "--data-dir", str(hubs.folders[0]))
        assert done.returncode == 1
        assert "[hub-already-running]" in done.stderr
        assert hubs.addresses[1] in done.stderr
    finally:
        hubs.processes[0].start("hub ready")
