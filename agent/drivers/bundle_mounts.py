"""The mounts of one container, as an OCI runtime takes them."""

from typing import Final

from agent.drivers.port import Mount

TMP_SIZE: Final = "64m"
SHM_SIZE: Final = "16m"


def system_mounts(user: tuple[int, int]) -> list[dict[str, object]]:
    """Return the file systems of the kernel's that each container has, and its private /tmp."""
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


def open_mounts(user: tuple[int, int]) -> list[dict[str, object]]:
    """Return those of a privileged container: all devices of the machine, and a /sys to write to."""
    tmp = next(mount for mount in system_mounts(user) if mount["destination"] == "/tmp")  # noqa: S108  its own
    return [
        _mount("/proc", "proc", ["nosuid", "noexec", "nodev"]),
        {"destination": "/dev", "type": "bind", "source": "/dev", "options": ["rbind", "nosuid", "rw"]},
        _mount("/sys", "sysfs", ["nosuid", "noexec", "nodev", "rw"]),
        tmp,
    ]


def bind(mount: Mount) -> dict[str, object]:
    """Return the mount of a folder or file of the machine."""
    source = str(mount.source.absolute())
    options = ["bind", "nosuid", "nodev", "ro" if mount.read_only else "rw"]
    return {"destination": mount.target, "type": "bind", "source": source, "options": options}
