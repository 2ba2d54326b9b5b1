"""What only runc promises: walls around a container. Each wall is tried from inside."""

import errno
import socket
import subprocess
from pathlib import Path

import pytest

from agent.drivers.bundle import DEFAULT_USER
from agent.drivers.overlay import mount_layers, unmount_and_delete
from agent.drivers.port import ContainerSpec, DriverError, Mount
from agent.drivers.runc import RuncDriver
from contract.desired import Limits
from tests.drivers.rig import PYTHON, Rig, exited, printed, status

pytestmark = [pytest.mark.system, pytest.mark.parametrize("rig", ["runc", "runc-userns"], indirect=True)]
MIB = 1024 * 1024


def test_identity_and_guards_of_the_process(rig: Rig) -> None:
    rig.start(rig.spec("serve"))
    facts = rig.ask()
    uid, gid = DEFAULT_USER
    assert facts["pid"] == 1
    assert facts["status"]["Uid"].split() == [str(uid)] * 4
    assert facts["status"]["Gid"].split() == [str(gid)] * 4
    assert facts["status"].get("Groups", "").split() in ([], [str(gid)])
    for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(facts["status"][capabilities], 16) == 0
    assert facts["status"]["NoNewPrivs"] == "1"
    assert facts["status"]["Seccomp"] == "2"


def test_a_given_user_is_taken(rig: Rig) -> None:
    rig.start(rig.spec("serve", user="1234:4321"))
    facts = rig.ask()
    assert facts["status"]["Uid"].split() == ["1234"] * 4
    assert facts["status"]["Gid"].split() == ["4321"] * 4


def test_no_network_but_a_loopback_of_its_own(rig: Rig) -> None:
    rig.start(rig.spec("serve"))
    facts = rig.ask()
    assert set(facts["interfaces"]) <= {"lo", "sit0", "tunl0", "ip6tnl0", "gre0", "erspan0", "gretap0"}
    assert "lo" in facts["interfaces"]
    assert set(facts["up"]) <= {"lo"}


def test_the_devices_own_ports_are_out_of_reach(rig: Rig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        socket.create_connection(address).close()  # the control: from the device it is there
        connect = f"import socket; print(socket.socket().connect_ex({address!r}))"
        number = rig.run(rig.spec(args=(PYTHON, "-c", connect)))
    assert number in {errno.ECONNREFUSED, errno.ENETUNREACH}


def test_only_tmp_shm_and_writable_mounts_take_writes(rig: Rig, tmp_path: Path) -> None:
    for name in ("rw", "ro"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o777)
    mounts = (
        Mount(tmp_path / "rw", "/run/headland", read_only=False),
        Mount(tmp_path / "ro", "/srv/model", read_only=True),
    )
    written = ("/tmp/x", "/dev/shm/x", "/run/headland/x")
    refused = ("/x", "/app/x", "/opt/python/bin/python3", "/srv/model/x", "/dev/x", "/proc/sysrq-trigger")
    results = rig.run(rig.spec("write", *written, *refused, mounts=mounts))
    assert {path for path, result in results.items() if result == "written"} == set(written)
    assert (tmp_path / "rw/x").read_text() == "x"
    (tmp_path / "rw/x").unlink()  # without capabilities root may not write another's file either
    results = rig.run(rig.spec("write", *written, *refused, mounts=mounts, user="0:0", name="root"))
    assert {path for path, result in results.items() if result == "written"} == set(written)
    assert not any((layer / "x").exists() for layer in rig.layers)


def test_dangerous_system_calls_are_refused_and_plain_ones_work(rig: Rig) -> None:
    for user in ("", "0:0"):
        results = rig.run(rig.spec("syscalls", user=user, name=f"as{user.partition(':')[0]}"))
        allowed = {"socket-unix", "socket-tcp", "socket-udp6"}
        assert {name for name, number in results.items() if number == 0} == allowed
        refused = {name: number for name, number in results.items() if number}
        assert set(refused.values()) <= {errno.EPERM, errno.ENOSYS}
        # Without the list these would fail for other reasons: bad addresses, no such device.
        assert refused["ptrace"] == refused["bpf"] == refused["add_key"] == refused["mount"] == errno.EPERM
        assert refused["socket-alg"] == refused["socket-vsock"] == refused["socket-netlink"] == errno.ENOSYS


def test_the_number_of_processes_is_limited(rig: Rig) -> None:
    few = rig.spec("fork", "20", name="few", limits=Limits(pids=8))
    many = rig.spec("fork", "20", name="many", limits=Limits(pids=64))
    assert rig.run(few)["children"] == 7
    assert rig.run(many)["children"] == 20


def test_cpu_is_limited(rig: Rig) -> None:
    slow_s = rig.run(rig.spec("spin", "0.3", name="slow", limits=Limits(cpus=0.1)))["took_s"]
    fast_s = rig.run(rig.spec("spin", "0.3", name="fast", limits=Limits(cpus=1.0)))["took_s"]
    assert slow_s > 1.5
    assert fast_s < slow_s


def test_memory_of_the_private_tmp_counts(rig: Rig) -> None:
    spec = rig.spec("write", "/tmp/x")
    rig.run(spec)
    fill = (PYTHON, "-c", FILL)
    tmp = rig.spec(args=fill, name="fill", limits=Limits(memory_bytes=40 * MIB))
    driver = rig.start(tmp)
    exited(driver, "fill")
    assert "filled" not in tmp.log.read_text()
    larger = rig.spec(args=fill, name="larger", limits=Limits(memory_bytes=200 * MIB))
    driver = rig.start(larger)
    exited(driver, "larger")
    assert "filled" in larger.log.read_text()


FILL = """
with open('/tmp/fill', 'wb') as file:
    for _ in range(60):
        file.write(bytes(1024 * 1024))
print('filled', flush=True)
"""


def test_core_files_are_off_and_the_environment_is_only_its_own(rig: Rig) -> None:
    rig.start(rig.spec("serve"))
    facts = rig.ask()
    (core,) = [line for line in facts["core"].splitlines() if line.startswith("Max core file size")]
    assert core.split()[4:6] == ["0", "0"]
    own = {
        "HEADLAND_CONTAINER",
        "LD_LIBRARY_PATH",
        "PYTHONDONTWRITEBYTECODE",
        "LISTEN_FDS",
        "LISTEN_FDNAMES",
        "WHOSE",
        "LISTEN_PID",
    }
    assert set(facts["env"]) - {"HOME", "LC_CTYPE"} == own


def test_a_hundred_layers_with_awkward_names_fit_one_mount(rig: Rig, tmp_path: Path) -> None:
    layers = []
    for number in range(100):
        layer = tmp_path / f"layer:{number},{'x' * 200}" / "content"
        layer.mkdir(parents=True)
        (layer / "file").write_text(str(number))
        (layer / f"only{number}").touch()
        layers.append(layer)
    assert sum(len(str(layer)) for layer in layers) > 4096
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    mount_layers(bundle, (*layers, layers[3]))  # one of them twice: the upper one counts
    try:
        assert (bundle / "rootfs/file").read_text() == "3"
        assert len(list((bundle / "rootfs").iterdir())) == 101
    finally:
        unmount_and_delete(bundle)
    assert not bundle.exists()
    assert (layers[0] / "only0").exists()
    unmount_and_delete(bundle)


def test_what_a_broken_start_left_is_seen_and_removed(rig: Rig) -> None:
    """As after a kill of the agent and of runc while that mounts itself: a mounted bundle, no container."""
    spec = rig.spec("serve")
    half_made(rig, spec)
    driver = rig.driver()
    seen = status(driver, "one")
    assert seen is not None
    assert not seen.running
    driver.remove("one")
    assert driver.observe() == ()
    assert str(spec.home) not in Path("/proc/mounts").read_text()
    rig.start(spec)
    printed(spec, "serving")


def half_made(rig: Rig, spec: ContainerSpec) -> None:
    (rig.state / "runc-homes").mkdir(parents=True)
    (rig.state / "runc-homes/one").symlink_to(spec.home)
    (rig.state / "runc/one").mkdir(parents=True)
    (spec.home / "bundle").mkdir()
    mount_layers(spec.home / "bundle", spec.layers)
    itself = rig.state / "runc/one/runc.AbCdEf"
    itself.touch()
    subprocess.run(["mount", "--bind", "/bin/true", itself], check=True)
    with pytest.raises(OSError, match="busy"):  # the control: as long as it is there nothing goes
        itself.unlink()


def test_a_limit_that_cannot_be_kept_is_an_error_with_the_reason(rig: Rig) -> None:
    with pytest.raises(DriverError, match=r"runc refused: .*memory"):
        rig.start(rig.spec("serve", limits=Limits(memory_bytes=4096)))
    assert RuncDriver(rig.state).observe() == ()
