"""What runc gives a container beyond its walls, tried from inside; test_runc.py has it refused."""

import dataclasses
import errno
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from agent.drivers.grants import DeviceNode, Grants
from agent.drivers.port import ContainerSpec, InvalidContainerError, Mount
from agent.drivers.staging import staged, unmount_staged
from tests.drivers.rig import PYTHON, Rig, exchanged

RUNC = [pytest.param(name, marks=pytest.mark.system) for name in ("runc", "runc-userns")]
runc = pytest.mark.parametrize("rig", RUNC, indirect=True)
KERNEL_LOG = (1, 11)  # /dev/kmsg: not among the devices that every container has
OPEN = """
import os, sys
for path, flag in (("/dev/mine", os.O_WRONLY), ("/dev/mine", os.O_RDONLY), ("/dev/other", os.O_WRONLY)):
    try:
        os.close(os.open(path, flag)); print(0, end=" ")
    except OSError as error:
        print(error.errno, end=" ")
"""


def given(spec: ContainerSpec, **grants: Any) -> ContainerSpec:
    return dataclasses.replace(spec, grants=Grants(**grants))


@runc
def test_a_device_can_be_used_as_far_as_it_is_given(rig: Rig) -> None:
    def tried(name: str, *devices: DeviceNode) -> list[str]:
        spec = given(rig.spec(args=(PYTHON, "-c", OPEN + "\nprint('\\n[]')"), name=name), devices=devices)
        rig.run(spec)
        return spec.log.read_text().split()[:3]

    assert tried("without") == ["2", "2", "2"]
    mine = DeviceNode("/dev/mine", "c", *KERNEL_LOG, "w")
    assert tried("writing", mine) == ["0", "1", "2"]
    assert tried("reading", dataclasses.replace(mine, access="r"))[0] == "1"


@runc
def test_a_capability_is_the_programs_own_and_opens_its_system_calls(rig: Rig) -> None:
    rig.start(given(rig.spec("serve"), capabilities=("NET_RAW",)))
    status = rig.ask()["status"]
    assert {int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {1 << 13}
    assert status["NoNewPrivs"] == "1"
    results = rig.run(given(rig.spec("syscalls", name="raw"), capabilities=("NET_RAW",)))
    # A raw socket without a protocol is none that the kernel knows: so it was asked.
    assert (results["socket-raw"], results["socket-packet"]) == (errno.EPROTONOSUPPORT, 0)
    assert results["mount"] == results["ptrace"] == 1
    assert results["socket-alg"] != 0


@runc
def test_the_devices_network_is_there_where_it_is_given(rig: Rig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        connect = f"import socket; print(socket.socket().connect_ex({address!r}))"
        spec = given(rig.spec(args=(PYTHON, "-c", connect)), host_network=True)
        assert rig.run(spec) == 0
    rig.start(given(rig.spec("serve", name="serves"), host_network=True))
    here = {line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:]}
    assert set(rig.ask()["interfaces"]) == here


@runc
def test_privileged_has_no_wall(rig: Rig) -> None:
    rig.start(given(rig.spec("serve"), privileged=True))
    status = rig.ask()["status"]
    mine = Path("/proc/self/status").read_text().split("CapBnd:")[1].split()[0]
    assert int(status["CapEff"], 16) == int(mine, 16) > 0
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("0", "0")
    results = rig.run(given(rig.spec("syscalls", name="calls"), privileged=True))
    assert (results["mount"], results["unshare-newns"], results["unshare-newuser"]) == (0, 0, 0)
    listed = (PYTHON, "-c", "import os, json; print(json.dumps(os.listdir('/dev')))")
    assert set(rig.run(given(rig.spec(args=listed, name="devices"), privileged=True))) >= {"null", "kmsg"}


@runc
def test_what_was_judged_is_mounted_whatever_stands_there_by_then(rig: Rig, tmp_path: Path) -> None:
    site, judged = exchanged(tmp_path)
    try:
        mount = Mount(site, "/etc/site", read_only=True, descriptor=judged)
        read = (PYTHON, "-c", "import json; print(json.dumps(open('/etc/site/which').read()))")
        assert rig.run(rig.spec(args=read, mounts=(mount,))) == "site"
        unguarded = dataclasses.replace(mount, descriptor=None)
        assert rig.run(rig.spec(args=read, mounts=(unguarded,), name="control")) == "secret"
    finally:
        os.close(judged)


@pytest.mark.parametrize("rig", ["process"], indirect=True)
def test_a_plain_process_gets_no_rights_of_its_own(rig: Rig) -> None:
    for grants in (Grants(privileged=True), Grants(capabilities=("NET_RAW",))):
        with pytest.raises(InvalidContainerError, match="runc"):
            rig.start(dataclasses.replace(rig.spec("serve"), grants=grants))
    rig.start(given(rig.spec("serve"), host_network=True))
    assert rig.ask()


@runc
def test_what_a_killed_agent_left_bound_is_let_go_and_not_deleted(rig: Rig, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "precious").write_text("x")
    (tmp_path / "disk").mkdir()
    (tmp_path / "state").symlink_to("disk")  # a state folder that was moved: the kernel knows the other name
    bundle = tmp_path / "state/bundle"
    bundle.mkdir()
    place = os.open(site, os.O_PATH)
    try:
        left = staged(bundle, (Mount(site, "/etc/site", read_only=True, descriptor=place),))
        (mount,) = left.__enter__()
        assert (mount.source / "precious").exists()
        assert not mount.source.is_mount(), "what a look at devices alone does not see"
        unmount_staged(bundle)
        assert list(mount.source.iterdir()) == []
        unmount_staged(bundle)
        left.__exit__(None, None, None)
    finally:
        os.close(place)
    assert (site / "precious").exists()
