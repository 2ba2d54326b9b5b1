"""Looks at the machine: the state folder, its disk, control groups, the driver, the daemon."""

import contextlib
import os
import shutil
import socket
import stat
from pathlib import Path

from agent.checks.finding import Finding, failed, ok, warning
from agent.drivers.choose import choose_driver
from agent.endpoints.control import SOCKET
from agent.endpoints.listeners import LONGEST_PATH
from agent.errors import AlreadyRunningError
from agent.lock import lock_state
from agent.private import open_to_others
from agent.reconcile.records import AgentRecords
from agent.selfupdate.told import versions_of
from agent.settings import Settings
from agent.version import VERSION

MIB = 1024 * 1024
LEAST_FREE_BYTES = 16 * MIB
LEAST_FREE_INODES = 1000
NAME_CHARS = 16
CONTROLLERS = ("cpu", "memory", "pids")
CGROUP_ROOT = Path("/sys/fs/cgroup")
# The longest path below the state folder: containers/{module}-{8 hex}/run/.agent.sock
AROUND_A_MODULE = len("/containers/") + len("-01234567") + len("/run/.agent.sock")


def state_folder(settings: Settings) -> Finding:
    """May we alone write the state folder, is what is private in it private, do the sockets' paths fit?"""
    folder = settings.state_dir
    found = folder.stat()
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid != os.geteuid():
        words = f"{folder} belongs to user {found.st_uid}, and this is user {os.geteuid()}"
        return failed("state folder", words, "Run agent and commands as the folder's owner.")
    if mode & 0o022:
        words = f"{folder} has mode {mode:04o}: others may write"
        return failed("state folder", words, f"chmod go-w {folder}")
    chars = LONGEST_PATH - len(os.fsencode(folder)) - AROUND_A_MODULE
    words = f"{folder}: names of modules may have {max(chars, 0)} characters"
    if chars < 1:
        return failed("state folder", words, "Choose a shorter state_dir: a socket's path has 107 bytes.")
    if chars < NAME_CHARS:
        return warning("state folder", words, "Choose a shorter state_dir: a socket's path has 107 bytes.")
    if readable := open_to_others(folder):
        words = f"others on this machine may read {', '.join(readable)} in {folder}"
        return warning("state folder", words, "Start the agent again: it makes them private.")
    return ok("state folder", words)


def disk(settings: Settings) -> Finding:
    """Does the disk take a write, and what the outbox and the next version may still need?"""
    folder = settings.state_dir
    probe = folder / f".check-{os.getpid()}"
    try:
        with probe.open("wb") as file:
            file.write(bytes(4096))
            os.fsync(file.fileno())
    except OSError as error:
        return failed("disk", f"takes no write ({error.strerror})", "Make room, or mount it for writing.")
    finally:
        probe.unlink(missing_ok=True)
    room = os.statvfs(folder)
    free = room.f_bavail * room.f_frsize
    outbox = sum(path.stat().st_size for path in folder.glob("outbox.db*"))
    needed = max(0, settings.outbox.max_bytes - outbox) + _size_bytes(folder / "content")
    words = f"{free // MIB} MiB free, {needed // MIB} MiB for a full outbox and a next version like this one"
    if free < LEAST_FREE_BYTES:
        return failed("disk", words, "Make room.")
    if room.f_files > 0 and room.f_favail < LEAST_FREE_INODES:
        return failed("disk", f"{room.f_favail} inodes are free", "Delete files, small ones too.")
    if free < needed:
        return warning("disk", words, "Make room, or lower outbox.max_bytes.")
    return ok("disk", words)


def cgroups(settings: Settings, root: Path = CGROUP_ROOT) -> Finding:
    """Can the kernel limit a container's memory, CPU and processes?"""
    unified = root / "cgroup.controllers"
    if unified.exists():
        version, there = 2, set(unified.read_text().split())
    else:
        version, there = 1, {path.name for path in root.iterdir()} if root.is_dir() else set()
    missing = [controller for controller in CONTROLLERS if controller not in there]
    if not missing:
        return ok("cgroups", f"version {version}, with {', '.join(CONTROLLERS)}")
    words = f"version {version} without {', '.join(missing)}: containers have no such limit"
    fix = "Turn them on (kernel command line `cgroup_enable=memory`, or systemd's Delegate=yes)."
    return (
        failed("cgroups", words, fix)
        if settings.driver in {"runc", "docker"}
        else warning("cgroups", words, fix)
    )


def driver(settings: Settings) -> Finding:
    """Which driver would be taken, and why? A trial container runs where runc may be used."""
    folder = settings.state_dir / f"check-{os.getpid()}"
    try:
        chosen, why = choose_driver(settings.driver, folder, settings.docker.socket, settings.user_namespaces)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if chosen.name == "process" and settings.driver == "auto":
        return warning("driver", why, "Remove the obstacle, or set driver to process and accept it.")
    return ok("driver", why)


def agent(settings: Settings) -> Finding:
    """Is the agent the version that it was ordered to be?"""
    desired = AgentRecords(settings.state_dir / "desired").load_desired()
    told = versions_of(settings.state_dir, desired)
    runs = f"version {VERSION}, {told['release'] or 'as installed'}"
    if told["failed"] is not None:
        words = f"{runs}; {told['ordered'] or 'a release'} is not used: {told['failed']}"
        return warning("agent", words, "Order a release that was mended, with a new rollout.")
    return ok("agent", f"{runs}; {told['trial']} is on trial" if told["trial"] else runs)


def daemon(settings: Settings) -> Finding:
    """Does a daemon work here, and does it answer?"""
    try:
        os.close(lock_state(settings.state_dir))
    except AlreadyRunningError:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(1.0)
            try:
                line.connect(str(settings.state_dir / SOCKET))
            except OSError as error:
                words = f"it runs and its control socket does not answer ({error.strerror})"
                return failed("daemon", words, "Restart it.")
        return ok("daemon", "it runs and answers")
    return warning(
        "daemon", "no daemon works on this state folder", "headland-agent run, or start its service."
    )


def _size_bytes(folder: Path) -> int:
    size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                size += (Path(place) / name).lstat().st_size
    return size
