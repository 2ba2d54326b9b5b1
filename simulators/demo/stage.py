"""A hub and a device on this machine, as real processes in a folder of their own.

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
    """A command of the demo failed; the message holds what it printed."""


class Stage:
    """One hub and one device below ``folder``."""

    def __init__(self, folder: Path, driver: str) -> None:
        self.folder = folder
        self.driver = driver
        self.data_dir = folder / "hub"
        self.state_dir = folder / "dev"
        self.https_port, self.mqtt_port = free_port(), free_port()
        self._env = os.environ | {"HEADLAND_CONTEXT": str(folder / "context.json"), "COLUMNS": "200"}
        os.environ["HEADLAND_CONTEXT"] = self._env["HEADLAND_CONTEXT"]
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._starts: dict[str, int] = {}
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def headland(self, *arguments: str) -> Any:  # noqa: ANN401  whatever the command answers
        """Run the admin CLI and return its JSON answer."""
        return self._command("headland", *arguments, "--output", "json")

    def agent(self, *arguments: str) -> Any:  # noqa: ANN401  whatever the command answers
        """Run a command of the device's own CLI and return its JSON answer."""
        shared = ("--state-dir", str(self.state_dir), "--driver", self.driver, "--output", "json")
        return self._command("headland-agent", *arguments, *shared)

    def start_hub(self) -> None:
        """`headland hub up`, until it answers."""
        self._start("hub", "headland", "hub", "up", "--data-dir", str(self.data_dir))
        self._wait_for_line("hub", "hub ready")

    def start_agent(self) -> None:
        """`headland-agent run`, until it is connected."""
        arguments = ("run", "--state-dir", str(self.state_dir), "--driver", self.driver)
        self._start("agent", "headland-agent", *arguments)
        self._wait_for_line("agent", "connected to the hub")

    def kill_agent(self) -> None:
        """End the agent as a crash would (SIGKILL); its containers run on."""
        self._processes.pop("agent").kill()

    def pid(self, name: str) -> int:
        """Process id of ``hub`` or ``agent``."""
        return self._processes[name].pid

    def log(self, name: str) -> str:
        """What ``hub`` or ``agent`` logged since its last start."""
        return self.log_file(name).read_text(errors="replace")

    def log_file(self, name: str) -> Path:
        """Where ``hub`` or ``agent`` logs since its last start."""
        return self.folder / f"{name}-{self._starts[name]}.log"

    def stop(self, name: str) -> None:
        """Stop ``hub`` or ``agent`` in good order."""
        process = self._processes.pop(name, None)
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            process.kill()
            raise StageError(f"{name} did not stop within {STOP_TIMEOUT_S:g} s") from error

    def close(self, *, keep: bool = False) -> list[int]:
        """Take everything down; return the processes that were left and had to be killed."""
        with contextlib.suppress(StageError):
            self.stop("agent")
            if (self.state_dir / "identity" / "device.json").exists():
                self.agent("down")
        with contextlib.suppress(StageError):
            self.stop("hub")
        left = _children_left()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)
        return left

    def _command(self, program: str, *arguments: str) -> Any:  # noqa: ANN401  JSON
        done = subprocess.run(
            [_bin(program), *arguments], env=self._env, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            words = " ".join((program, *arguments))
            raise StageError(f"`{words}` failed:\n{done.stderr or done.stdout}")
        return json.loads(done.stdout)

    def _start(self, name: str, program: str, *arguments: str) -> None:
        # Each start has a log of its own, so that its lines are not taken for the last start's.
        self._starts[name] = self._starts.get(name, 0) + 1
        with self.log_file(name).open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [_bin(program), *arguments],
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _wait_for_line(self, name: str, words: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while words not in self.log(name):
            if self._processes[name].poll() is not None or time.monotonic() > deadline:
                raise StageError(f"{name} did not start:\n{self.log(name)[-2000:]}")
            time.sleep(0.05)


def free_port() -> int:
    """Return a TCP port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _bin(program: str) -> str:
    return str(Path(sys.executable).parent / program)


def _children_left() -> list[int]:
    """Reap what has ended; return, after killing it, whatever child still runs."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    left: list[int] = []
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return left
        if pid == 0:
            running = [int(text) for text in children.read_text().split()]
            for child in running:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            left += running
