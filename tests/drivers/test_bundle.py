"""The runtime configuration and the list of system calls, as values."""

import json
from pathlib import Path
from typing import Any

import pytest

from agent.drivers.bundle import runtime_config, user_ids
from agent.drivers.id_ranges import IdRange
from agent.drivers.port import ContainerSpec, Mount
from agent.drivers.seccomp import SECCOMP_ARCHITECTURES, seccomp_profile
from contract.desired import Limits

MIB = 1024 * 1024
SPEC = ContainerSpec(
    id="digits-3fa9c1d2",
    layers=(Path("/layers/a"),),
    args=("/opt/python/bin/python3", "-m", "serving"),
    env={"A": "b=c"},
    cwd="/srv",
    user="65532:65532",
    mounts=(Mount(Path("/run/x"), "/run/headland", read_only=False), Mount(Path("/m"), "/m", read_only=True)),
    limits=Limits(memory_bytes=64 * MIB, cpus=0.5, pids=8),
    home=Path("/home/x"),
    log=Path("/log"),
)


def config(*, swap_accounted: bool = True, unified: bool = False, **limits: Any) -> dict[str, Any]:
    spec = SPEC if not limits else ContainerSpec(**{**vars(SPEC), "limits": Limits(**limits)})
    made = runtime_config(
        spec,
        listeners=["socket"],
        cgroups_path="/headland/x",
        swap_accounted=swap_accounted,
        unified=unified,
        seccomp={},
    )
    found: dict[str, Any] = json.loads(json.dumps(made))
    return found


def test_limits_are_always_there() -> None:
    linux = config()["linux"]
    assert linux["cgroupsPath"] == "/headland/x"
    assert linux["resources"]["memory"] == {"limit": 64 * MIB, "swap": 64 * MIB}
    assert linux["resources"]["cpu"] == {"quota": 50_000, "period": 100_000}
    assert linux["resources"]["pids"] == {"limit": 8}
    assert linux["resources"]["devices"] == [{"allow": False, "access": "rwm"}]
    assert config(swap_accounted=False)["linux"]["resources"]["memory"] == {"limit": 64 * MIB}
    assert config(cpus=0.0001)["linux"]["resources"]["cpu"]["quota"] == 1_000


def test_out_of_memory_a_container_ends_as_a_whole_where_the_kernel_can() -> None:
    assert config(unified=True)["linux"]["resources"]["unified"] == {"memory.oom.group": "1"}
    assert "unified" not in config()["linux"]["resources"], "runc refuses the word itself on version 1"


def test_walls() -> None:
    made = config()
    assert made["root"] == {"path": "rootfs", "readonly": True}
    process = made["process"]
    assert process["noNewPrivileges"] is True
    assert all(names == [] for names in process["capabilities"].values())
    assert len(process["capabilities"]) == 5
    assert process["env"] == ["A=b=c", "LISTEN_FDS=1", "LISTEN_FDNAMES=socket", "LISTEN_PID=1"]
    kinds = {namespace["type"] for namespace in made["linux"]["namespaces"]}
    assert kinds == {"pid", "network", "ipc", "uts", "mount", "cgroup"}
    assert all("path" not in namespace for namespace in made["linux"]["namespaces"])


def test_mounts() -> None:
    by_target = {mount["destination"]: mount for mount in config()["mounts"]}
    assert by_target["/run/headland"]["options"] == ["bind", "nosuid", "nodev", "rw"]
    assert by_target["/m"]["options"] == ["bind", "nosuid", "nodev", "ro"]
    assert {"uid=65532", "gid=65532", "noexec", "nosuid", "nodev"} <= set(by_target["/tmp"]["options"])
    for mount in by_target.values():
        assert "nosuid" in mount["options"]


def test_a_range_of_ids_makes_a_namespace_and_nothing_else_differs() -> None:
    made = runtime_config(
        SPEC,
        listeners=["socket"],
        cgroups_path="/headland/x",
        swap_accounted=True,
        unified=False,
        seccomp={},
        root="/run/x/root",
        ids=IdRange(0x7000_0000),
    )
    mapped, plain = json.loads(json.dumps(made)), config()
    assert mapped["root"] == {"path": "/run/x/root", "readonly": True}
    assert plain["root"] == {"path": "rootfs", "readonly": True}
    linux = mapped["linux"]
    expected = [{"containerID": 0, "hostID": 1879048192, "size": 65536}]
    assert (linux.pop("uidMappings"), linux.pop("gidMappings")) == (expected, expected)
    assert linux["namespaces"] == [*plain["linux"]["namespaces"], {"type": "user"}]
    linux["namespaces"].pop()
    assert mapped | {"root": plain["root"]} == plain


@pytest.mark.parametrize(
    ("user", "ids"), [("", (65532, 65532)), ("5:6", (5, 6)), ("5", (5, 5)), ("0:0", (0, 0))]
)
def test_users(user: str, ids: tuple[int, int]) -> None:
    assert user_ids(user) == ids


@pytest.mark.parametrize("architecture", sorted(SECCOMP_ARCHITECTURES))
def test_no_dangerous_call_is_on_the_list(architecture: str) -> None:
    profile: dict[str, Any] = seccomp_profile(architecture)
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert profile["architectures"] == [SECCOMP_ARCHITECTURES[architecture]]
    allowed: set[str] = set()
    filtered: set[str] = set()
    for rule in profile["syscalls"]:
        if rule["action"] == "SCMP_ACT_ALLOW":
            (filtered if rule.get("args") else allowed).update(rule["names"])
    assert filtered == {"clone", "socket", "personality"}
    assert not allowed & filtered
    dangerous = (
        "mount umount umount2 pivot_root chroot unshare setns clone3 ptrace process_vm_readv bpf keyctl "
        "add_key request_key kexec_load"
        " kexec_file_load init_module finit_module delete_module perf_event_open "
        "userfaultfd open_by_handle_at io_uring_setup io_uring_enter fsopen move_mount mount_setattr "
        "reboot swapon settimeofday clock_settime iopl ioperm mknod mknodat modify_ldt pidfd_getfd"
    )
    assert not allowed & set(dangerous.split())
    assert {"execve", "read", "accept4", "futex", "epoll_wait", "epoll_pwait"} <= allowed
