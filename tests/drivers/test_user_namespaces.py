"""Containers in user namespaces: who their users are on the device, and what the device shows them."""

import dataclasses
import hashlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.artifacts.unpack import unpack
from agent.drivers.grants import DeviceNode, Grants
from agent.drivers.id_ranges import FIRST, RANGES, SIZE, IdRange, needs_the_devices_ids, take, taken
from agent.drivers.mapped_mounts import mount_mapped, namespace_of
from agent.drivers.overlay import mount_layers
from agent.drivers.port import DriverError, Mount
from agent.drivers.roots import ROOTS
from agent.drivers.runc import RuncDriver
from tests.artifacts.registry import make_tar
from tests.drivers.rig import PYTHON, Rig, exited, printed, status

both = pytest.mark.parametrize(
    "rig", [pytest.param(name, marks=pytest.mark.system) for name in ("runc", "runc-userns")], indirect=True
)
mapped = pytest.mark.parametrize(
    "rig", [pytest.param("runc-userns", marks=pytest.mark.system)], indirect=True
)
WRITE = """
import json, os, time
for folder in ("/given", "/plain", "/tmp"):
    with open(folder + "/file", "w") as file:
        file.write("x")
mapping, own = open("/proc/self/uid_map").read().split(), os.stat("/given/file").st_uid
print(json.dumps({"map": mapping, "own": own}), flush=True)
time.sleep(600)
"""
READ = """
import json, os
paths = ("/data/own", "/given/own")
print(json.dumps({path: [open(path).read(), os.stat(path).st_uid] for path in paths}))
"""


@dataclass(frozen=True)
class Owners:
    """Who is who on the device: a container's root, and what it wrote, by user number."""

    process: int
    told: int
    given: int
    plain: int
    tmp: int


def owners(rig: Rig) -> Owners:
    """Return them for a container that is its image's root and writes to folders of the device."""
    for name in ("given", "plain"):
        (rig.folder / name).mkdir()
        (rig.folder / name).chmod(0o777)
    mounts = (
        Mount(rig.folder / "given", "/given", read_only=False),
        Mount(rig.folder / "plain", "/plain", read_only=False, mapped=False),
    )
    spec = rig.spec(args=(PYTHON, "-c", WRITE), mounts=mounts, user="0:0")
    rig.start(spec)
    said = json.loads(printed(spec, "}"))
    assert said["own"] == 0, "the container itself sees that it is root's"
    return Owners(
        process=user_of(rig, spec.id),
        told=int(said["map"][1]),
        given=(rig.folder / "given/file").stat().st_uid,
        plain=(rig.folder / "plain/file").stat().st_uid,
        tmp=(process_of(rig, spec.id) / "root/tmp/file").stat().st_uid,
    )


@mapped
def test_a_containers_root_is_nobody_on_the_device(rig: Rig) -> None:
    found = owners(rig)
    assert FIRST <= found.process < FIRST + RANGES * SIZE
    assert found.process == found.told == found.plain == found.tmp
    assert found.given == 0, "a folder that it was given goes by the container's own numbers"


@pytest.mark.parametrize("rig", [pytest.param("runc", marks=pytest.mark.system)], indirect=True)
def test_negative_control_without_a_namespace_it_is_the_devices_root(rig: Rig) -> None:
    assert owners(rig) == Owners(process=0, told=0, given=0, plain=0, tmp=0)


@both
def test_root_reads_what_the_image_and_the_folders_have_for_root_alone(rig: Rig, tmp_path: Path) -> None:
    """Also what lies in layers that are merged for their whiteouts."""
    for number, files in enumerate(({"data/own": b"image"}, {"data/.wh.other": b""})):
        (tmp_path / "tar").write_bytes(make_tar(files))
        layer = tmp_path / f"layer{number}"
        layer.mkdir()
        unpack(tmp_path / "tar", layer)
        rig.layers += (layer,)
    (tmp_path / "layer0/data/own").chmod(0o600)
    (tmp_path / "given").mkdir(mode=0o700)
    (tmp_path / "given/own").touch(mode=0o600)
    (tmp_path / "given/own").write_text("device")
    given = Mount(tmp_path / "given", "/given", read_only=True)
    expected = {"/data/own": ["image", 0], "/given/own": ["device", 0]}
    assert rig.run(rig.spec(args=(PYTHON, "-c", READ), mounts=(given,), user="0:0")) == expected
    spec = rig.spec(args=(PYTHON, "-c", READ), mounts=(given,), name="control")
    driver = rig.start(spec)
    exited(driver, "control")
    assert "PermissionError" in spec.log.read_text(), "another user than root"


@both
def test_a_container_opens_what_it_prints_to_by_name(rig: Rig) -> None:
    again = "import json; open('/dev/stdout', 'a').write('opened\\n'); print(json.dumps(0))"
    spec = rig.spec(args=(PYTHON, "-c", again))
    rig.run(spec)
    assert "opened\n" in spec.log.read_text()


@mapped
def test_each_container_has_a_range_of_its_own_which_ends_with_it(rig: Rig) -> None:
    driver = rig.driver()
    for name in ("one", "two"):
        rig.start(rig.spec("serve", name=name, user="0:0"), driver)
    users = {user_of(rig, name) for name in ("one", "two")}
    assert len(users) == 2
    assert {places(rig, name) for name in ("one", "two")} == {1}
    driver.signal("one", signal.SIGKILL)
    exited(driver, "one")
    driver.remove("one")
    assert (places(rig, "one"), places(rig, "two")) == (0, 1)
    assert str(rig.folder / "homes/one") not in Path("/proc/mounts").read_text()


@mapped
def test_only_its_own_root_may_enter_the_place_of_a_containers_root(rig: Rig) -> None:
    rig.start(rig.spec("serve"))
    (place,) = ROOTS.glob(f"{scope(rig)}-one/root")
    enter = "import os, sys; os.setuid(int(sys.argv[1])); print(len(os.listdir(sys.argv[2])))"

    def entered(user: int) -> bool:
        words = [sys.executable, "-I", "-c", enter, str(user), str(place)]
        return subprocess.run(words, capture_output=True, check=False).returncode == 0

    own = place.stat().st_uid
    assert own >= FIRST
    assert entered(own)
    assert not any(entered(user) for user in (1000, 65532, own + 1, own + 65532))


@mapped
def test_what_needs_the_devices_own_users_stays_with_them(rig: Rig) -> None:
    given = dataclasses.replace(rig.spec("serve", user="0:0"), grants=Grants(host_network=True))
    rig.start(given)
    assert user_of(rig, "one") == 0
    large = rig.spec("serve", name="large", user=f"{SIZE}:5")
    rig.start(large)
    assert user_of(rig, "large") == SIZE


def test_which_containers_those_are(tmp_path: Path, layers: tuple[Path, ...]) -> None:
    with_sockets = Rig("fake", tmp_path, layers, None)  # type: ignore[arg-type]
    spec = with_sockets.spec("serve")
    assert not needs_the_devices_ids(spec, (0, SIZE - 1))
    assert needs_the_devices_ids(spec, (SIZE, 0))
    assert needs_the_devices_ids(spec, (0, SIZE))
    node = DeviceNode("/dev/kmsg", "c", 1, 11, "r")
    for grants in (
        Grants(privileged=True),
        Grants(host_network=True),
        Grants(devices=(node,)),
        Grants(capabilities=("NET_RAW",)),
    ):
        assert needs_the_devices_ids(dataclasses.replace(spec, grants=grants), (0, 0))


@pytest.fixture
def mapped_already(tmp_path: Path) -> Iterator[Path]:
    """A folder that is shown by other users' numbers."""
    for name in ("plain", "already"):
        (tmp_path / name).mkdir()
    with namespace_of(IdRange(FIRST)) as namespace:
        mount_mapped(tmp_path / "plain", tmp_path / "already", namespace, read_only=True)
    yield tmp_path / "already"
    subprocess.run(["umount", "-l", tmp_path / "already"], check=True)


@mapped
@pytest.mark.parametrize("where", ["of no disk", "mapped already"])
def test_a_path_that_cannot_be_mapped_takes_the_namespace_from_its_container(
    rig: Rig, where: str, mapped_already: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = Path("/sys/kernel") if where == "of no disk" else mapped_already
    mount = Mount(source, "/given", read_only=True)
    spec = rig.spec("serve", mounts=(mount,), user="0:0")
    with pytest.raises(DriverError, match="mount_setattr"):
        rig.start(spec)
    assert list(spec.home.iterdir()) == []
    assert places(rig, "one") == 0
    with caplog.at_level(logging.WARNING):
        rig.start(spec, RuncDriver(rig.state, user_namespaces="auto"))
    assert "container one has no user namespace" in caplog.text
    assert user_of(rig, "one") == 0
    assert places(rig, "one") == 0


@both
def test_who_runs_goes_on_when_the_setting_changes(rig: Rig) -> None:
    """As over an upgrade, or after the setting was turned off or on."""
    spec = rig.spec("serve")
    rig.start(spec)
    before = rig.ask()
    other = RuncDriver(rig.state, user_namespaces="off" if rig.kind == "runc-userns" else "required")
    seen = status(other, "one")
    assert seen is not None
    assert seen.running
    assert rig.ask()["pid"] == before["pid"] == 1
    done = other.execute("one", (PYTHON, "-c", "print(open('/proc/self/uid_map').read().split()[1])"), 20)
    assert (int(done.output) >= FIRST) == (rig.kind == "runc-userns")
    other.signal("one", signal.SIGTERM)
    assert exited(other, "one").exit_code == 7
    other.remove("one")
    assert other.observe() == ()
    assert places(rig, "one") == 0


def test_a_kernel_that_makes_no_namespace_says_so() -> None:
    """The bound is of a namespace around the test, and nobody else's."""
    if shutil.which("unshare") is None or os.geteuid() != 0:
        pytest.skip("needs root and unshare")
    ask = "from agent.drivers.mapped_mounts import *\nwith namespace_of(IdRange(0)): print('made')"
    limited = 'echo "$0" > /proc/sys/user/max_user_namespaces && exec "$@"'

    def answer(most: int) -> str:
        words = ["unshare", "--user", "--map-root-user", "sh", "-c", limited, str(most)]
        done = subprocess.run(
            [*words, sys.executable, "-c", ask], capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    assert "the kernel makes no user namespace: unshare" in answer(0)
    assert "the kernel makes no user namespace" not in answer(8), "the control"


@mapped
def test_the_roots_that_a_crash_left_are_cleared(rig: Rig, tmp_path: Path) -> None:
    """One of a container that is known goes with it; one that is not known goes at the next start."""
    driver = rig.driver()
    spec = rig.spec("serve")
    half_made(rig, "one", spec.home)
    half_made(rig, "forgotten", tmp_path / "forgotten")
    (rig.state / "runc-homes/forgotten").unlink()
    assert (places(rig, "one"), places(rig, "forgotten")) == (1, 1)
    strange = RuncDriver(tmp_path / "another-agents-state")
    assert strange.observe() == ()
    assert places(rig, "forgotten") == 1, "another agent's are left alone"
    rig.driver()
    assert (places(rig, "one"), places(rig, "forgotten")) == (1, 0)
    driver.remove("one")
    assert places(rig, "one") == 0
    assert all((layer / "app/program.py").exists() for layer in rig.layers[1:])
    rig.start(spec)
    printed(spec, "serving")


def half_made(rig: Rig, name: str, home: Path) -> None:
    """Leave what a kill between the mount and runc leaves."""
    (rig.state / "runc-homes").mkdir(parents=True, exist_ok=True)
    (rig.state / f"runc-homes/{name}").symlink_to(home)
    bundle = home / "bundle"
    bundle.mkdir(parents=True)
    root = RuncDriver(rig.state)._roots.make(name, take(bundle, (), name))
    mount_layers(bundle, rig.layers, root=root)


def test_no_range_is_taken_twice(tmp_path: Path) -> None:
    bundles = [tmp_path / str(number) for number in range(100)]
    for bundle in bundles:
        bundle.mkdir()
        assert taken(bundle) is None
        found = take(bundle, bundles, "the same seed")
        assert taken(bundle) == found
    firsts = {each.first for bundle in bundles if (each := taken(bundle)) is not None}
    assert len(firsts) == len(bundles)
    assert all(FIRST <= first <= 0x7FFD_0000 and first % SIZE == 0 for first in firsts)
    assert take(bundles[0], bundles[:1], "a").first != take(bundles[0], (), "b").first
    assert IdRange(7).mappings() == [{"containerID": 0, "hostID": 7, "size": 65536}]
    (bundles[0] / "ids").write_text("no number")
    assert taken(bundles[0]) is None


@pytest.fixture(autouse=True)
def nothing_stays(request: pytest.FixtureRequest) -> Iterator[None]:
    """Afterwards no root of the test's is left."""
    rig = request.getfixturevalue("rig") if "rig" in request.fixturenames else None
    yield
    if rig is not None:
        rig.clear()
        assert list(ROOTS.glob(f"{scope(rig)}-*")) == []
        assert str(rig.folder) not in Path("/proc/mounts").read_text()


def scope(rig: Rig) -> str:
    """Return what the names of this agent's roots begin with."""
    return hashlib.sha256(os.fsencode(rig.state.resolve())).hexdigest()[:12]


def process_of(rig: Rig, name: str) -> Path:
    seen = status(rig.drivers[-1], name)
    assert seen is not None
    assert seen.pid is not None
    return Path("/proc", str(seen.pid))


def user_of(rig: Rig, name: str) -> int:
    """Return the device's user that a container's first process is."""
    lines = (process_of(rig, name) / "status").read_text().splitlines()
    users = {int(word) for line in lines if line.startswith("Uid:") for word in line.split()[1:]}
    (user,) = users
    return user


def places(rig: Rig, name: str) -> int:
    """Return how many places of a container's root there are, with what is mounted at them."""
    found = list(ROOTS.glob(f"{scope(rig)}-{name}"))
    mounts = Path("/proc/mounts").read_text()
    assert all((f" {place}/root " in mounts) for place in found)
    assert mounts.count(f"/{scope(rig)}-{name}/") == len(found)
    return len(found)
