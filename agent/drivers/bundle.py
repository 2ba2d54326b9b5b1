"""The configuration of one container for an OCI runtime (runtime specification 1.0). Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from agent.drivers.port import ContainerSpec, Mount, listening

# Whoever builds an image and says nothing of the user gets this one, never root.
DEFAULT_USER: Final = (65532, 65532)
CPU_PERIOD_US: Final = 100_000
CPU_QUOTA_MIN_US: Final = 1_000  # the kernel takes no less
OPEN_FILES: Final = 4096
TMP_SIZE: Final = "64m"
SHM_SIZE: Final = "16m"
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
    seccomp: Mapping[str, object],
) -> dict[str, object]:
    """Return ``config.json`` of a bundle whose root file system is ``rootfs`` beside it.

    ``listeners`` are the names of the sockets handed over, in order. ``swap_accounted`` says whether the
    kernel can limit swap; without, only memory is limited.
    """
    user = user_ids(spec.user)
    return {
        "ociVersion": "1.0.2",
        "hostname": spec.id[:63],
        "root": {"path": "rootfs", "readonly": True},
        "process": _process(spec, user, listeners),
        "mounts": [*_system_mounts(user), *(_bind(mount) for mount in spec.mounts)],
        "linux": {
            "namespaces": [{"type": kind} for kind in NAMESPACES],
            "cgroupsPath": cgroups_path,
            "resources": _resources(spec, swap_accounted=swap_accounted),
            "rootfsPropagation": "private",
            "maskedPaths": list(MASKED_PATHS),
            "readonlyPaths": list(READONLY_PATHS),
            "seccomp": dict(seccomp),
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
    limits = {"RLIMIT_NOFILE": OPEN_FILES, "RLIMIT_CORE": 0}
    return {
        "terminal": False,
        "user": {"uid": user[0], "gid": user[1]},
        "args": list(spec.args),
        "env": [f"{name}={value}" for name, value in env.items()],
        "cwd": spec.cwd,
        "capabilities": {name: [] for name in sets},
        "rlimits": [{"type": kind, "soft": value, "hard": value} for kind, value in limits.items()],
        "noNewPrivileges": True,
        # When the device runs out of memory, a container dies before the agent does.
        "oomScoreAdj": 500,
    }


def _resources(spec: ContainerSpec, *, swap_accounted: bool) -> dict[str, object]:
    limits = spec.limits
    memory = {"limit": limits.memory_bytes}
    if swap_accounted:
        memory["swap"] = limits.memory_bytes  # memory and swap together: so no swap
    quota = max(CPU_QUOTA_MIN_US, round(limits.cpus * CPU_PERIOD_US))
    return {
        "devices": [{"allow": False, "access": "rwm"}],
        "memory": memory,
        "cpu": {"quota": quota, "period": CPU_PERIOD_US},
        "pids": {"limit": limits.pids},
    }


def _system_mounts(user: tuple[int, int]) -> list[dict[str, object]]:
    uid, gid = user
    guarded = ["nosuid", "noexec", "nodev"]
    # runc gives a tmpfs the mode of the folder below it, whatever the option says: so /tmp also
    # belongs to the container's user.
    tmp = [*guarded, "mode=1777", f"uid={uid}", f"gid={gid}", f"size={TMP_SIZE}"]
    return [
        _mount("/proc", "proc", guarded),
        _mount("/dev", "tmpfs", ["nosuid", "noexec", "strictatime", "mode=755", "size=64k", "ro"]),
        _mount("/dev/shm", "tmpfs", [*guarded, "mode=1777", f"size={SHM_SIZE}"]),  # noqa: S108  in the container
        _mount("/sys", "sysfs", [*guarded, "ro"]),
        _mount("/tmp", "tmpfs", tmp),  # noqa: S108  in the container
    ]


def _mount(target: str, kind: str, options: list[str]) -> dict[str, object]:
    return {"destination": target, "type": kind, "source": kind, "options": options}


def _bind(mount: Mount) -> dict[str, object]:
    source = str(mount.source.absolute())
    options = ["bind", "nosuid", "nodev", "ro" if mount.read_only else "rw"]
    return {"destination": mount.target, "type": "bind", "source": source, "options": options}
