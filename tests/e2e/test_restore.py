"""A hub's disk is lost, and the hub made again of a backup, while a real device is ahead of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from simulators.demo.stage import Daemon, Device
from tests.e2e.conftest import World, command
from tests.e2e.test_update import apply, runs
from tests.e2e.waiting import wait_until

pytestmark = pytest.mark.parametrize("driver", ["process"], indirect=True)


def everything(world: World) -> dict[str, set[str]]:
    """Return what people and devices can find in the hub, as texts to compare."""
    streams = world.workspace.streams()
    rows = [
        world.workspace.query(f"SELECT device, epoch, seq, body FROM {s.stream}", 100_000).rows
        for s in streams
    ]
    return {
        "models": {f"{model.name}:{model.version} {model.digest}" for model in world.workspace.models()},
        "images": {f"{image.name}:{image.version} {image.digest}" for image in world.workspace.images()},
        "rollouts": {f"{one.name}:{one.revision} {one.images}" for one in world.workspace.rollouts()},
        "devices": {device.id for device in world.workspace.devices()},
        "samples": {str(row) for found in rows for row in found},
    }


class Backup:
    """A backup of the world's hub in a folder, and the hub that is made of it."""

    def __init__(self, world: World, folder: Path) -> None:
        self._world, self._folder = world, folder
        passphrase = folder / "passphrase"
        passphrase.write_text("a long enough passphrase")
        passphrase.chmod(0o600)
        self._sealed = ("--passphrase-file", str(passphrase))
        self._run("backup", "--data-dir", str(world.stage.data_dir))

    @contextmanager
    def restored(self) -> Iterator[Daemon]:
        """The hub of the backup stands where the lost one stood, until the block ends."""
        self._world.stage.hub.kill()
        new = self._folder / "new"
        hub = Daemon("restored", self._folder, ("headland", "hub", "up", "--data-dir", str(new)))
        try:
            self._run("restore", "--data-dir", str(new))
            hub.start("hub ready")
            yield hub
        finally:
            hub.stop()
            self._world.stage.hub.start("hub ready")

    def _run(self, what: str, *options: str) -> None:
        done = command("headland", "hub", what, str(self._folder / "backup"), *options, *self._sealed)
        assert done.returncode == 0, done.stderr


def held(world: World, device: Device) -> int:
    """Return the generation that the device last reported to the hub."""
    return int((world.workspace.device(device.name).reported or {}).get("generation", 0))


@pytest.fixture
def ahead(
    world: World, device: Device, roll_out: Callable[..., None], tmp_path: Path
) -> tuple[Backup, dict[str, set[str]]]:
    """A backup with all that was there when it began; the device was given something newer since."""
    roll_out("digits:1")
    before = everything(world)
    backup = Backup(world, tmp_path)
    roll_out("digits:2")
    return backup, before


def test_what_was_there_before_the_backup_is_there_and_a_device_that_is_ahead_follows_again(
    world: World, device: Device, ahead: tuple[Backup, dict[str, set[str]]]
) -> None:
    backup, before = ahead
    was = held(world, device)
    with backup.restored():
        now = everything(world)
        assert {what: found - now[what] for what, found in before.items()} == {what: set() for what in before}
        wait_until(lambda: held(world, device) == was, "the device has reported what it holds")
        apply(world, device, "digits:1")
        wait_until(lambda: runs(world, "digits:1"), "the device runs digits:1")
        assert held(world, device) > was
        (running,) = device.agent("status")["modules"]
        assert running["image"] == "digits:1"


def test_a_device_that_was_away_is_not_taken_for_one_that_has_the_new_rollout(
    world: World, device: Device, ahead: tuple[Backup, dict[str, set[str]]]
) -> None:
    """The restored hub does not know yet how far the device was when it gives it the next generation."""
    backup, _ = ahead
    was = held(world, device)
    device.daemon.stop()
    with backup.restored():
        apply(world, device, "digits:1")
        device.daemon.start("connected to the hub")
        wait_until(lambda: runs(world, "digits:1"), "the hub says that the device runs digits:1")
        (running,) = device.agent("status")["modules"]
        assert running["image"] == "digits:1"
        assert held(world, device) > was
