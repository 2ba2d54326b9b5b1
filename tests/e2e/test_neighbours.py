"""A shop with one thin line: an image comes over it once, and each device runs it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from simulators.demo.stage import Device, free_port
from tests.e2e.conftest import NUMBERS, World, manifest
from tests.e2e.waiting import wait_until
from tests.machine.prometheus import read
from tests.machine.test_metrics import scrape
from tests.network.proxy import Proxy, running


def settings_of(line: Proxy, names: list[str]) -> dict[str, str]:
    """Return the settings of each device: all the same but for the port, as they are on one machine."""
    ports = {name: free_port() for name in names}
    sources = "".join(
        f'\n[[sources]]\nat = "https://127.0.0.1:{port}"\nneighbour = "{name}"\n'
        for name, port in ports.items()
    )
    allow = ", ".join(f'"{name}"' for name in names)
    shared = f'[proxy]\nhttps = "{line.url}"\n\n[neighbours]\nallow = [{allow}]\n'
    return {name: f'{shared}listen = "127.0.0.1:{port}"\n{sources}' for name, port in ports.items()}


@contextmanager
def shop(world: World, folder: Path, line: Proxy, *, neighbours: bool) -> Iterator[list[Device]]:
    """Enrol and run two devices that reach the hub over ``line`` alone."""
    names = [f"dev-{next(NUMBERS)}" for _ in range(2)]
    settings = settings_of(line, names)
    devices = []
    for name in names:
        path, invitation = folder / f"{name}.toml", folder / f"{name}.json"
        path.write_text(settings[name] if neighbours else f'[proxy]\nhttps = "{line.url}"\n')
        world.stage.headland("device", "invite", name, "--file", str(invitation))
        device = Device(name, world.folder, "process", "--config", str(path))
        world.stage.devices.append(device)
        devices.append(device)
        device.agent("enroll", "--invitation", str(invitation))
        device.daemon.start("connected to the hub")
    yield devices
    for device in devices:
        device.daemon.stop()
        device.agent("down")
        world.stage.devices.remove(device)


def value(device: Device, metric: str) -> float:
    status, _, data = scrape(device.state_dir / "metrics.sock")
    assert status == 200
    return read(data)[metric].value()


def pulled(world: World, devices: list[Device], line: Proxy) -> tuple[float, float]:
    """Roll out an image to the devices; return its layers' bytes, and those that came over the line."""
    before = line.bytes_back
    world.workspace.apply_rollout(manifest(", ".join(device.name for device in devices), "digits:1"))
    wait_until(
        lambda: all(each.state == "running" for each in world.workspace.rollout("test").devices),
        "the module runs on both",
        within_s=120,
    )
    received = [value(device, "headland_pull_received_bytes_total") for device in devices]
    assert received[0] == received[1] > 1_000_000
    return received[0], line.bytes_back - before


def test_the_image_comes_over_the_line_once(world: World, tmp_path: Path) -> None:
    with running(Proxy()) as line, shop(world, tmp_path, line, neighbours=True) as devices:
        size, over_the_line = pulled(world, devices, line)
        assert size < over_the_line < 1.2 * size
        given = [value(device, "headland_neighbour_served_bytes_total") for device in devices]
        assert sum(given) > 0.9 * size
        assert value(devices[0], "headland_neighbour_cache_bytes") == size
        check = {each["name"]: each for each in devices[0].agent("check")["findings"]}
        assert check["neighbours"]["verdict"] == check["sources"]["verdict"] == "ok"


def test_the_control_without_neighbours_it_comes_twice(world: World, tmp_path: Path) -> None:
    with running(Proxy()) as line, shop(world, tmp_path, line, neighbours=False) as devices:
        size, over_the_line = pulled(world, devices, line)
        assert over_the_line > 2 * size
