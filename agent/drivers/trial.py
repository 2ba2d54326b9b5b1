"""Whether runc, or a container engine, works on this device, found out by running a container."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from agent import tmpfs
from agent.drivers.port import ContainerSpec, Driver, DriverError, Mount
from agent.drivers.runc import RuncDriver
from contract.desired import Limits

TRIAL_TIMEOUT_S = 10.0
TRIAL_FOLDER = "runc-trial"
MEMORY = "memory"
MEMORY_OPTIONS = "size=64k,mode=0755,nosuid,nodev,noexec"
SYSTEM_FOLDERS = ("/bin", "/lib", "/lib64", "/usr")


def runc_obstacle(state_dir: Path) -> str | None:
    """Return why `RuncDriver` cannot be used here, or None where a whole trial container ran.

    The trial runs the device's own ``/bin/sh`` with every limit and guard that a module gets.
    """
    return _no_runc() or _obstacle(RuncDriver, state_dir)


def user_namespace_obstacle(state_dir: Path) -> str | None:
    """Return why `RuncDriver` cannot be used here with a user namespace for each container, or None.

    The trial does all of `runc_obstacle` besides: it is root in its container, reads what the layer has for
    root alone, and writes to a folder in memory as modules are given one.
    """
    return _no_runc() or _obstacle(
        lambda folder: RuncDriver(folder, user_namespaces="required"), state_dir, as_root=True
    )


def _no_runc() -> str | None:
    if os.geteuid() != 0:
        return "the agent does not run as root"
    if shutil.which("runc") is None:
        return "runc is not on the PATH"
    return None


def docker_obstacle(state_dir: Path, socket_path: Path) -> str | None:
    """Return why `DockerDriver` cannot be used here, or None where a whole trial container ran."""
    from agent.drivers.docker import DockerDriver  # noqa: PLC0415  a device without an engine does without

    return _obstacle(lambda folder: DockerDriver(folder, socket_path), state_dir)


def _obstacle(make: Callable[[Path], Driver], state_dir: Path, *, as_root: bool = False) -> str | None:
    folder = state_dir.absolute() / TRIAL_FOLDER
    try:
        driver = make(folder)
        _clean(driver, folder)
        folder.mkdir(parents=True, mode=0o700)
        try:
            return _run_trial(driver, folder, as_root=as_root)
        finally:
            _clean(driver, folder)
    except DriverError as error:
        return str(error)
    except OSError as error:
        return f"{folder}: {error.strerror}"


def _run_trial(driver: Driver, folder: Path, *, as_root: bool) -> str | None:
    spec = _trial(folder)
    if as_root:
        spec = _as_root(spec, folder / "layer", folder / MEMORY)
    log = spec.log
    ours, theirs = socket.socketpair()
    with ours, theirs:
        driver.start(spec, theirs.fileno())
    deadline = time.monotonic() + TRIAL_TIMEOUT_S
    while any(status.running for status in driver.observe()):
        if time.monotonic() > deadline:
            return "a trial container does not end"
        time.sleep(0.02)
    if log.read_bytes().strip() != b"works":
        return "a trial container did not say what it should"
    return None


def _trial(folder: Path) -> ContainerSpec:
    home, layer = folder / "home", folder / "layer"
    home.mkdir()
    layer.mkdir(mode=0o755)
    system = (Path(name) for name in SYSTEM_FOLDERS if Path(name).is_dir())
    return ContainerSpec(
        id=f"trial-{secrets.token_hex(4)}",
        layers=(layer,),
        args=("/bin/sh", "-c", "echo works"),
        env={},
        cwd="/",
        user="",
        # A device's own system may lie where owners cannot be mapped: what all may read is enough.
        mounts=tuple(Mount(place, str(place), read_only=True, mapped=False) for place in system),
        limits=Limits(memory_bytes=64 * 1024 * 1024),
        home=home,
        log=folder / "log",
    )


def _as_root(spec: ContainerSpec, layer: Path, memory: Path) -> ContainerSpec:
    """Return a trial that says what it should only where its root is none of the device."""
    (layer / "own").touch(mode=0o600)
    (layer / "own").write_text("works\n")
    memory.mkdir()
    memory.chmod(0o755)
    tmpfs.mount(memory, "headland-trial", MEMORY_OPTIONS)
    script = "read -r _ first _ < /proc/self/uid_map && test $first -gt 0 && read -r word < /own"
    script += " && echo $word > /memory/file && read -r word < /memory/file && echo $word"
    mounts = (*spec.mounts, Mount(memory, "/memory", read_only=False))
    return replace(spec, args=("/bin/sh", "-c", script), user="0:0", mounts=mounts)


def _clean(driver: Driver, folder: Path) -> None:
    """Delete what a trial, also a killed one, left."""
    for status in driver.observe():
        driver.signal(status.id, signal.SIGKILL)
        deadline = time.monotonic() + TRIAL_TIMEOUT_S
        while any(s.running for s in driver.observe() if s.id == status.id) and time.monotonic() < deadline:
            time.sleep(0.02)
        driver.remove(status.id)
    tmpfs.unmount(folder / MEMORY)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)
