"""The configuration of one container for an OCI runtime (runtime specification 1.0). Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from agent.drivers.bundle_mounts import bind, open_mounts, system_mounts
from agent.drivers.grants import DeviceNode
from agent.drivers.id_ranges import IdRange
from agent.drivers.port import ContainerSpec, listening

BUNDLE: Final = "bundle"  # the folder in a container's home that is the driver runc's own
ROOTFS: Final = "rootfs"
# Whoever builds an image and says nothing of the user gets this one, never root.
DEFAULT_USER: Final = (65532, 65532)
CPU_PERIOD_US: Final = 100_000
CPU_QUOTA_MIN_US: Final = 1_000  # the kernel takes no less
OPEN_FILES: Final = 4096
NAMESPACES: Final = ("pid", "network", "ipc", "uts", "mount", "cgroup")
MASKED_PATHS: Final = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/fs/selinux",
    "/sys/devices/virtual/powercap",
)
READONLY_PATHS: Final = (
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
)


def runtime_config(
    spec: ContainerSpec,
    *,
    listeners: Iterable[str],
    cgroups_path: str,
    swap_accounted: bool,
    unified: bool,
    seccomp: Mapping[str, object],
    root: str = ROOTFS,
    ids: IdRange | None = None,
) -> dict[str, object]:
    """Return ``config.json`` of a bundle whose root file system is ``root``: a name beside it, or a path.

    With ``ids`` the container has a user namespace of its own, with that range.
    ``listeners`` are the names of the sockets handed over, in order. ``swap_accounted`` says whether the
    kernel can limit swap; without, only memory is limited. ``unified`` says whether its groups are of
    version 2: such a kernel ends a container that is out of memory as a whole.
    """
    user, grants = user_ids(spec.user), spec.grants
    shared = {"network"} if grants.host_network else set[str]()
    kinds = [kind for kind in NAMESPACES if kind not in shared] + (["user"] if ids else [])
    walls: dict[str, object] = {
        "maskedPaths": list(MASKED_PATHS),
        "readonlyPaths": list(READONLY_PATHS),
        "seccomp": dict(seccomp),
    }
    system = open_mounts(user) if grants.privileged else system_mounts(user)
    return {
        "ociVersion": "1.0.2",
        "hostname": spec.id[:63],
        "root": {"path": root, "readonly": True},
        "process": _process(spec, user, listeners),
        "mounts": [*system, *(bind(mount) for mount in spec.mounts)],
        "linux": {
            "namespaces": [{"type": kind} for kind in kinds],
            **({"uidMappings": ids.mappings(), "gidMappings": ids.mappings()} if ids else {}),
            "cgroupsPath": cgroups_path,
            "resources": _resources(spec, swap_accounted=swap_accounted, unified=unified),
            "devices": [] if grants.privileged else [_node(device, user) for device in grants.devices],
            "rootfsPropagation": "private",
            **({} if grants.privileged else walls),
        },
    }


def other_process(config: Mapping[str, Any], args: Sequence[str]) -> dict[str, object]:
    """Return the ``process`` that runs ``args`` as the first one of ``config`` runs, without its sockets."""
    first = config["process"]
    env = [entry for entry in first["env"] if not entry.startswith("LISTEN_")]
    return {**first, "args": list(args), "env": env}


def user_ids(user: str) -> tuple[int, int]:
    """Return uid and gid of ``uid:gid`` or ``uid`` (the gid is then the same); empty: the default."""
    if not user:
        return DEFAULT_USER
    uid, _, gid = user.partition(":")
    return int(uid), int(gid or uid)


def _process(spec: ContainerSpec, user: tuple[int, int], listeners: Iterable[str]) -> dict[str, object]:
    # The container's first process has id 1 in its own namespace.
    env = spec.env | listening(listeners) | {"LISTEN_PID": "1"}
    sets = ("bounding", "effective", "inheritable", "permitted", "ambient")
    # Ambient too: a program that is not root would not have them otherwise.
    rights = [f"CAP_{name}" for name in sorted(spec.grants.capabilities)]
    limits = {"RLIMIT_NOFILE": OPEN_FILES, "RLIMIT_CORE": 0}
    return {
        "terminal": False,
        "user": {"uid": user[0], "gid": user[1]},
        "args": list(spec.args),
        "env": [f"{name}={value}" for name, value in env.items()],
        "cwd": spec.cwd,
        "capabilities": dict.fromkeys(sets, rights),
        "rlimits": [{"type": kind, "soft": value, "hard": value} for kind, value in limits.items()],
        "noNewPrivileges": not spec.grants.privileged,
        # When the device runs out of memory, a container dies before the agent does.
        "oomScoreAdj": 500,
    }


def _resources(spec: ContainerSpec, *, swap_accounted: bool, unified: bool) -> dict[str, object]:
    limits = spec.limits
    memory = {"limit": limits.memory_bytes}
    if swap_accounted:
        memory["swap"] = limits.memory_bytes  # memory and swap together: so no swap
    quota = max(CPU_QUOTA_MIN_US, round(limits.cpus * CPU_PERIOD_US))
    return {
        "devices": [{"allow": spec.grants.privileged, "access": "rwm"}, *map(_rule, spec.grants.devices)],
        "memory": memory,
        "cpu": {"quota": quota, "period": CPU_PERIOD_US},
        "pids": {"limit": limits.pids},
        # runc refuses it on a device with groups of version 1, even an empty one.
        **({"unified": {"memory.oom.group": "1"}} if unified else {}),
    }


def _node(device: DeviceNode, user: tuple[int, int]) -> dict[str, object]:
    """Return a device node that the container's user may open: who may is said by the rules."""
    return {
        "path": device.path,
        "type": device.kind,
        "major": device.major,
        "minor": device.minor,
        "fileMode": 0o660,
        "uid": user[0],
        "gid": user[1],
    }


def _rule(device: DeviceNode) -> dict[str, object]:
    return {
        "allow": True,
        "type": device.kind,
        "major": device.major,
        "minor": device.minor,
        "access": device.access,
    }
