"""What the tests of a driver stand on: layers, a listening socket, and fresh drivers."""

import functools
import json
import os
import secrets
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil

from agent.drivers.docker import DockerDriver
from agent.drivers.fake import FakeDriver, FakeMachine
from agent.drivers.port import ContainerRunningError, ContainerSpec, ContainerStatus, Driver, Mount
from agent.drivers.process import ProcessDriver
from agent.drivers.runc import RuncDriver
from agent.drivers.trial import user_namespace_obstacle
from contract.agent_api import CONTAINER_ENV
from contract.desired import Limits

T = TypeVar("T")
PYTHON = "/opt/python/bin/python3"
PROGRAM = "/app/program.py"
TIMEOUT_S = 20.0


def exchanged(folder: Path) -> tuple[Path, int]:
    """Return a path and the descriptor of what stood there; by now it is a link to something secret.

    Both have a file ``which`` that says what it is: site or secret.
    """
    for name in ("site", "secret"):
        (folder / name).mkdir()
        (folder / name / "which").write_text(name)
    judged = os.open(folder / "site", os.O_PATH)
    (folder / "site").rename(folder / "away")
    (folder / "site").symlink_to("secret")
    return folder / "site", judged


def until(what: str, look: Callable[[], T | None]) -> T:
    """Return the first true answer of ``look``; fail after a while."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.01)
    raise AssertionError(f"not in {TIMEOUT_S} s: {what}")


@dataclass
class Rig:
    """One driver's kind, its state folder, and a listening Unix socket."""

    kind: str
    folder: Path
    layers: tuple[Path, ...]
    listener: socket.socket
    engine: Path | None = None
    whose: str = field(default_factory=lambda: secrets.token_hex(8))
    machine: FakeMachine = field(default_factory=FakeMachine)
    drivers: list[Driver] = field(default_factory=list)

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def driver(self) -> Driver:
        """Return a driver that has seen nothing yet."""
        kinds: dict[str, Callable[[], Driver]] = {
            "fake": lambda: FakeDriver(self.machine),
            "process": lambda: ProcessDriver(self.state),
            "runc": lambda: RuncDriver(self.state),
            "runc-userns": lambda: RuncDriver(self.state, user_namespaces="required"),
            "docker": lambda: DockerDriver(self.state, self._socket),
            "podman": lambda: DockerDriver(self.state, self._socket),
        }
        self.drivers.append(kinds[self.kind]())
        return self.drivers[-1]

    @property
    def _socket(self) -> Path:
        assert self.engine is not None
        return self.engine

    def spec(
        self,
        *words: str,
        name: str = "one",
        args: tuple[str, ...] = (),
        env: dict[str, str] | None = None,
        limits: Limits = Limits(),  # noqa: B008  frozen
        mounts: tuple[Mount, ...] = (),
        user: str = "",
    ) -> ContainerSpec:
        """Return a container that runs ``program.py`` with ``words`` (or ``args`` as they are)."""
        home = self.folder / "homes" / name
        home.mkdir(parents=True, exist_ok=True)
        own = {
            CONTAINER_ENV: name,
            "WHOSE": self.whose,
            "LD_LIBRARY_PATH": "/opt/python/lib",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return ContainerSpec(
            id=name,
            layers=self.layers,
            args=args or (PYTHON, PROGRAM, *words),
            env=own | (env or {}),
            cwd="/",
            user=user,
            mounts=mounts,
            limits=limits,
            home=home,
            log=self.folder / f"{name}.log",
        )

    def start(
        self, spec: ContainerSpec, driver: Driver | None = None, ports: dict[str, int] | None = None
    ) -> Driver:
        """Start ``spec`` on the rig's socket, and on ``ports`` by name."""
        driver = driver or self.driver()
        driver.start(spec, self.listener.fileno(), ports)
        return driver

    def ask(self, listener: socket.socket | None = None) -> dict[str, Any]:
        """Return the facts that some container answers a connection with."""
        listener = listener or self.listener
        with socket.socket(listener.family) as client:
            client.settimeout(TIMEOUT_S)
            client.connect(listener.getsockname())
            with client.makefile("rb") as answer:
                found: dict[str, Any] = json.loads(answer.read())
        return found

    def run(self, spec: ContainerSpec) -> Any:
        """Run ``spec`` to its end, remove it, and return the last line that it printed, as JSON."""
        driver = self.start(spec)
        exited(driver, spec.id)
        driver.remove(spec.id)
        return json.loads(spec.log.read_text().splitlines()[-1])

    def clear(self) -> None:
        """Kill and remove everything."""
        driver = self.driver()
        for container in driver.observe():
            driver.signal(container.id, signal.SIGKILL)
            exited(driver, container.id)
            driver.remove(container.id)
        self.listener.close()


def status(driver: Driver, container_id: str) -> ContainerStatus | None:
    """Return what the driver says of one container."""
    return next((s for s in driver.observe() if s.id == container_id), None)


def exited(driver: Driver, container_id: str) -> ContainerStatus:
    """Wait until a container has ended."""

    def look() -> ContainerStatus | None:
        found = status(driver, container_id)
        return found if found is not None and not found.running else None

    return until(f"{container_id} ends", look)


def printed(spec: ContainerSpec, word: str) -> str:
    """Wait until a container has printed ``word``; return its log."""

    def look() -> str | None:
        text = spec.log.read_text() if spec.log.exists() else ""
        return text if word in text else None

    return until(f"{spec.id} prints {word!r}", look)


def holder_of(rig: Rig) -> psutil.Process:
    """Return the process that holds the exit code of the rig's one container."""
    (record,) = (rig.folder / "homes").glob("*/*/holder")
    return psutil.Process(int(record.read_text().split()[0]))


def runc_is_missing() -> str:
    """Return why there can be no test with runc here, or nothing."""
    return is_missing("runc")


def is_missing(kind: str) -> str:
    """Return why there can be no test with this kind of containers here, or nothing."""
    if os.geteuid() != 0:
        return f"{kind} needs root"
    if kind == "runc-userns":
        return is_missing("runc") or _no_user_namespaces()
    program = {"docker": "dockerd"}.get(kind, kind)
    return "" if shutil.which(program) else f"{program} is not installed"


@functools.cache
def _no_user_namespaces() -> str:
    with tempfile.TemporaryDirectory() as folder:
        return user_namespace_obstacle(Path(folder)) or ""


__all__ = [
    "ContainerRunningError",
    "Rig",
    "exited",
    "holder_of",
    "is_missing",
    "printed",
    "runc_is_missing",
    "status",
    "until",
]
