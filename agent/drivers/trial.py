"""Whether runc, or a container engine, works on this device, found out by running a container."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from agent.drivers.port import ContainerSpec, Driver, DriverError, Mount
from agent.drivers.runc import RuncDriver
from contract.desired import Limits

TRIAL_TIMEOUT_S = 10.0
TRIAL_FOLDER = "runc-trial"
SYSTEM_FOLDERS = ("/bin", "/lib", "/lib64", "/usr")


def runc_obstacle(state_dir: Path) -> str | None:
    """Return why `RuncDriver` cannot be used here, or None where a whole trial container ran.

    The trial runs the device's own ``/bin/sh`` with every limit and guard that a module gets.
    """
    if os.geteuid() != 0:
        return "the agent does not run as root"
    if shutil.which("runc") is None:
        return "runc is not on the PATH"
    return _obstacle(RuncDriver, state_dir)


def docker_obstacle(state_dir: Path, socket_path: Path) -> str | None:
    """Return why `DockerDriver` cannot be used here, or None where a whole trial container ran."""
    from agent.drivers.docker import DockerDriver  # noqa: PLC0415  a device without an engine does without

    return _obstacle(lambda folder: DockerDriver(folder, socket_path), state_dir)


def _obstacle(make: Callable[[Path], Driver], state_dir: Path) -> str | None:
    folder = state_dir.absolute() / TRIAL_FOLDER
    try:
        driver = make(folder)
        _clean(driver, folder)
        folder.mkdir(parents=True, mode=0o700)
        try:
            return _run_trial(driver, folder)
        finally:
            _clean(driver, folder)
    except DriverError as error:
        return str(error)
    except OSError as error:
        return f"{folder}: {error.strerror}"


def _run_trial(driver: Driver, folder: Path) -> str | None:
    home, layer = folder / "home", folder / "layer"
    home.mkdir()
    layer.mkdir(mode=0o755)
    log = folder / "log"
    container_id = f"trial-{secrets.token_hex(4)}"
    spec = ContainerSpec(
        id=container_id,
        layers=(layer,),
        args=("/bin/sh", "-c", "echo works"),
        env={},
        cwd="/",
        user="",
        mounts=tuple(Mount(Path(folder), folder, read_only=True) for folder in _system_folders()),
        limits=Limits(memory_bytes=64 * 1024 * 1024),
        home=home,
        log=log,
    )
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


def _system_folders() -> list[str]:
    return [folder for folder in SYSTEM_FOLDERS if Path(folder).is_dir()]


def _clean(driver: Driver, folder: Path) -> None:
    """Delete what a trial, also a killed one, left."""
    for status in driver.observe():
        driver.signal(status.id, signal.SIGKILL)
        deadline = time.monotonic() + TRIAL_TIMEOUT_S
        while any(s.running for s in driver.observe() if s.id == status.id) and time.monotonic() < deadline:
            time.sleep(0.02)
        driver.remove(status.id)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)
