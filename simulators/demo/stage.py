"""A hub and devices on this machine, as real processes in a folder of their own.

Everything goes through the public commands. The stage adopts orphans (`PR_SET_CHILD_SUBREAPER`),
so containers whose agent was killed are its children too, and it can say whether any is left.
"""

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PR_SET_CHILD_SUBREAPER = 36
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0


class StageError(Exception):
    """A command failed or did not come to its end; the message holds what it printed."""


class Stage:
    """One hub, its data below ``folder`` unless ``data_dir`` is elsewhere, and any number of devices."""

    def __init__(self, folder: Path, data_dir: Path | None = None) -> None:
        self.folder = folder
        self.data_dir = data_dir or folder / "hub"
        self.https_port, self.mqtt_port = free_port(), free_port()
        os.environ["HEADLAND_CONTEXT"] = str(folder / "context.json")
        self.hub = Daemon("hub", folder, ("headland", "hub", "up", "--data-dir", str(self.data_dir)))
        self.devices: list[Device] = []
        self._others = _children()  # whoever started them ends them
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def make_hub(self, *options: str) -> None:
        """`headland hub init` with ``options``, then `headland hub up`."""
        self.headland(
            "hub", "init", "--data-dir", str(self.data_dir),
            "--https-port", str(self.https_port), "--mqtt-port", str(self.mqtt_port), *options,
        )  # fmt: skip
        self.hub.start("hub ready")

    def headland(self, *arguments: str) -> Any:  # noqa: ANN401  whatever the command answers
        """Run the admin CLI and return its JSON answer."""
        return run_command("headland", *arguments, "--output", "json")

    def enrol_device(self, name: str, driver: str) -> "Device":
        """Invite a device, enrol it, and start its agent."""
        device = self.enrol(Device(name, self.folder, driver))
        device.daemon.start("connected to the hub")
        return device

    def enrol(self, device: "Device") -> "Device":
        """Invite a device and enrol it."""
        invitation = self.folder / f"{device.name}.invitation.json"
        self.headland("device", "invite", device.name, "--file", str(invitation))
        self.devices.append(device)
        device.agent("enroll", "--invitation", str(invitation))
        return device

    def close(self, *, keep: bool = False) -> list[int]:
        """Take everything down; return the processes that were left and had to be killed."""
        for device in self.devices:
            with contextlib.suppress(StageError):
                device.daemon.stop()
                device.agent("down")
        with contextlib.suppress(StageError):
            self.hub.stop()
        left = _children_left(self._others)
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)
        return left


class Device:
    """A device on this machine: its agent as a process of its own, with ``options`` for each command.

    ``program``: another installation's command, by its path.
    """

    def __init__(
        self, name: str, folder: Path, driver: str, *options: str, program: str = "headland-agent"
    ) -> None:
        self.name = name
        self.state_dir = folder / name
        self._program = program
        self._shared = ("--state-dir", str(self.state_dir), "--driver", driver, *options)
        self.daemon = Daemon(f"agent-{name}", folder, (program, "run", *self._shared))

    def agent(self, *arguments: str) -> Any:  # noqa: ANN401  whatever the command answers
        """Run a command of the device's own CLI and return its JSON answer."""
        return run_command(self._program, *arguments, *self._shared, "--output", "json")

    def endpoint(self) -> Path:
        """The socket of the device's first module."""
        return Path(self.agent("status")["modules"][0]["endpoint"].removeprefix("unix:"))


class Daemon:
    """A long-running command; each start has a log of its own. ``before``: a command that starts it."""

    def __init__(self, name: str, folder: Path, command: tuple[str, ...]) -> None:
        self.name = name
        self.before: tuple[str, ...] = ()
        self._folder = folder
        self._command = command
        self._starts = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        if self._process is None:
            raise StageError(f"{self.name} does not run")
        return self._process.pid

    @property
    def log(self) -> str:
        """What it logged since its last start."""
        path = self._folder / f"{self.name}-{self._starts}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self, until: str) -> None:
        """Start it and wait until it logs the words ``until``."""
        self.begin()
        self.wait_for(until)

    def begin(self) -> None:
        """Start it."""
        self._starts += 1
        with (self._folder / f"{self.name}-{self._starts}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self.before, _bin(self._command[0]), *self._command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=os.environ | {"PYTHONFAULTHANDLER": "1"},
            )

    def wait_for(self, words: str) -> None:
        """Wait until it logs ``words``."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while words not in self.log:
            ended = self._process is None or self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                raise StageError(f"{self.name} never logged '{words}':\n{self.log[-2000:]}")
            time.sleep(0.02)

    def is_alive(self) -> bool:
        """Does its process run?"""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End it as a crash would (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Stop it in good order; nothing happens where it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            process.send_signal(signal.SIGABRT)  # its log then says where each of its threads stands
            process.wait()
            raise StageError(
                f"{self.name} did not stop within {STOP_TIMEOUT_S:g} s:\n{self.log[-8000:]}"
            ) from error


def run_command(program: str, *arguments: str) -> Any:  # noqa: ANN401  JSON
    """Run a command that answers in JSON; raises `StageError` with what it printed."""
    done = subprocess.run([_bin(program), *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        words = " ".join((program, *arguments))
        raise StageError(f"`{words}` failed:\n{done.stderr or done.stdout}")
    return json.loads(done.stdout)


def free_port() -> int:
    """Return a TCP port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _bin(program: str) -> str:
    return str(Path(sys.executable).parent / program)


def _children() -> frozenset[int]:
    """Return this process's children, with those that ended and were not reaped."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    return frozenset(int(text) for text in children.read_text().split())


def _children_left(others: frozenset[int]) -> list[int]:
    """Reap what has ended; return, after killing it, whatever child but ``others`` still runs."""
    left: list[int] = []
    while mine := _children() - others:
        for child in mine:
            pid, _ = os.waitpid(child, os.WNOHANG)
            if pid == 0:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                left.append(child)
    return left
