"""What Docker's API is asked to create for one container."""

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from agent.drivers.bundle import CPU_PERIOD_US, CPU_QUOTA_MIN_US, OPEN_FILES, user_ids
from agent.drivers.grants import Grants
from agent.drivers.port import ContainerSpec, Mount
from contract.agent_api import LISTENERS_ENV

SCOPE_LABEL: Final = "headland.scope"
ID_LABEL: Final = "headland.container"
LAYERS_LABEL: Final = "headland.layers"
LISTENERS_FOLDER: Final = "/run/headland-listeners"
LISTENERS_SOCKET: Final = f"{LISTENERS_FOLDER}/socket"
TMP_OPTIONS: Final = "rw,nosuid,nodev,noexec,mode=1777,size=64m"
SHM_BYTES: Final = 16 * 1024 * 1024
# Until the agent has copied them: what may wait where no agent runs.
LOG_OPTIONS: Final = {"max-size": "4m", "max-file": "2"}


# Docker's engine of Debian 12 answers EPERM to what no rule names, and the C library starts threads without
# this call only where it is said not to be there.
NOT_THERE: Final = {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS}


def engine_seccomp(profile: Mapping[str, Any]) -> dict[str, Any]:
    """Return our list of system calls as engines read it."""
    given = any("clone3" in rule["names"] for rule in profile["syscalls"])
    return {**profile, "syscalls": [*profile["syscalls"], *([] if given else [NOT_THERE])]}


def container_body(
    spec: ContainerSpec, image: str, *, scope: str, handover: Mount, seccomp: str, swap: bool, processes: int
) -> dict[str, object]:
    """Return the body of a request to create ``spec`` from the loaded ``image``.

    ``handover`` is the folder with the socket that hands the listeners over, ``seccomp`` is as the engine
    takes it; ``swap`` says whether the kernel can limit it; ``processes`` is how many its user may have,
    beside its own limit.
    """
    uid, gid = user_ids(spec.user)
    env = spec.env | {LISTENERS_ENV: LISTENERS_SOCKET}
    return {
        "Image": image,
        "Entrypoint": [spec.args[0]],
        "Cmd": list(spec.args[1:]),
        "Env": [f"{name}={value}" for name, value in env.items()],
        "WorkingDir": spec.cwd,
        "User": f"{uid}:{gid}",
        "Hostname": spec.id[:63],
        "Labels": {SCOPE_LABEL: scope, ID_LABEL: spec.id},
        "HostConfig": {
            **_limits(spec, swap=swap, processes=processes),
            **_walls(spec.grants, seccomp),
            "IpcMode": "private",
            "ReadonlyRootfs": True,
            "Tmpfs": {"/tmp": TMP_OPTIONS},  # noqa: S108  in the container
            "ShmSize": SHM_BYTES,
            "Mounts": [_bind(mount) for mount in (*spec.mounts, handover)],
            "RestartPolicy": {"Name": "no"},
            "AutoRemove": False,
            "LogConfig": {"Type": "json-file", "Config": LOG_OPTIONS},
        },
    }


def _walls(grants: Grants, seccomp: str) -> dict[str, object]:
    """Return what stands between a container and the machine, less what it was given."""
    network = {"NetworkMode": "host" if grants.host_network else "none"}
    if grants.privileged:
        return network | {"Privileged": True}
    groups = {str(Path(node.path).stat().st_gid) for node in grants.devices if Path(node.path).exists()}
    return network | {
        # A device's node keeps its owner in an engine's container: its group may open it.
        "GroupAdd": sorted(groups),
        "Privileged": False,
        "CapDrop": ["ALL"],
        "CapAdd": list(grants.capabilities),
        "SecurityOpt": ["no-new-privileges", f"seccomp={seccomp}"],
        "Devices": [
            {"PathOnHost": node.path, "PathInContainer": node.path, "CgroupPermissions": node.access}
            for node in grants.devices
        ],
    }


def _limits(spec: ContainerSpec, *, swap: bool, processes: int) -> dict[str, Any]:
    limits = spec.limits
    return {
        "Memory": limits.memory_bytes,
        **({"MemorySwap": limits.memory_bytes} if swap else {}),
        "CpuPeriod": CPU_PERIOD_US,
        "CpuQuota": max(CPU_QUOTA_MIN_US, round(limits.cpus * CPU_PERIOD_US)),
        "PidsLimit": limits.pids,
        "OomScoreAdj": 500,
        "Ulimits": [
            {"Name": "nofile", "Soft": OPEN_FILES, "Hard": OPEN_FILES},
            # Podman would ask for more than a service may have.
            {"Name": "nproc", "Soft": processes, "Hard": processes},
            {"Name": "core", "Soft": 0, "Hard": 0},
        ],
    }


def _bind(mount: Mount) -> dict[str, object]:
    source = str(mount.source.absolute())
    return {"Type": "bind", "Source": source, "Target": mount.target, "ReadOnly": mount.read_only}
