"""Calls of the ``runc`` command, each with a time limit."""

import subprocess
from collections.abc import Collection
from pathlib import Path

import msgspec

from agent.drivers.held import PID_FILE, await_held, hold
from agent.drivers.mounted import detach_below
from agent.drivers.port import DriverError, DriverTimeoutError

RUNC_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
REASON_MAX = 300


class ListedContainer(msgspec.Struct, frozen=True, kw_only=True):
    """A line of ``runc list --format json``; ``pid`` is 0 for a stopped container."""

    id: str
    pid: int
    status: str

    @property
    def running(self) -> bool:
        """Whether its first process is alive and was started."""
        return self.status in {"running", "paused"}


class _LogLine(msgspec.Struct, frozen=True, kw_only=True):
    level: str = ""
    msg: str = ""


class RuncCommand:
    """``runc --root <root>``, with its own log beside each bundle."""

    def __init__(self, program: str, root: Path, *, timeout_s: float) -> None:
        self._program = program
        self._root = root
        self._timeout_s = timeout_s

    def run(self, container_id: str, bundle: Path, *, log: Path, listeners: Collection[int]) -> None:
        """Create and start the bundle's container; raises `DriverError` with runc's own reason."""
        own_log = bundle / "runc.log"
        command = [self._program, "--root", str(self._root), "--log", str(own_log), "--log-format", "json"]
        command += ["run", "--detach", "--preserve-fds", str(len(listeners)), "--bundle", str(bundle)]
        command += ["--pid-file", str(bundle / PID_FILE), container_id]
        pid = hold("orphans", command, RUNC_ENVIRONMENT, own=bundle, log=log, listeners=listeners)
        code = await_held(pid, bundle, self._timeout_s)
        where = f"container {container_id}"
        if code is None:
            raise DriverTimeoutError(f"runc run took over {self._timeout_s:g} s", where=where, fix="Retry.")
        if code != 0:
            fix = "Check the image's program, the module's limits, and that runc runs as root."
            reason = last_reason(own_log) or "it said nothing"
            raise DriverError(f"runc refused: {reason}", where=where, fix=fix)

    def exec_words(self, container_id: str, process: Path, group: str, own_log: Path) -> tuple[str, ...]:
        """Return the command that runs what ``process`` says in a container, in a group below its own."""
        log = ("--log", str(own_log), "--log-format", "json")
        words = ("exec", "--process", str(process), "--cgroup", group, container_id)
        return (self._program, "--root", str(self._root), *log, *words)

    def list(self) -> dict[str, ListedContainer]:
        """Return the containers below this root, by id."""
        output = self._call("list", "--format", "json")
        try:
            listed = msgspec.json.decode(output, type=tuple[ListedContainer, ...] | None)
        except msgspec.DecodeError as error:
            raise DriverError(f"cannot read runc's list: {error}", where="runc list") from error
        return {container.id: container for container in listed or ()}

    def kill(self, container_id: str, signal_number: int) -> None:
        """Send a signal to the container's first process."""
        self._call("kill", container_id, str(signal_number))

    def delete(self, container_id: str, *, force: bool) -> None:
        """Delete what runc holds of a container; with ``force`` kill it first, and no error if unknown.

        While a container starts, runc mounts itself, read-only, below its folder of the container
        (``runc.XXXXXX``, CVE-2019-5736). One that is killed then leaves that, and nothing could be deleted.
        """
        detach_below(self._root / container_id, "what a killed runc left")
        self._call("delete", *(["--force"] if force else []), container_id)

    def _call(self, *arguments: str) -> bytes:
        where = f"runc {arguments[0]}"
        try:
            done = subprocess.run(
                [self._program, "--root", str(self._root), *arguments],
                env=RUNC_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self._timeout_s,
                check=True,
            )
        except subprocess.TimeoutExpired as error:
            raise DriverTimeoutError(f"took over {self._timeout_s:g} s", where=where, fix="Retry.") from error
        except subprocess.CalledProcessError as error:
            raise DriverError(_shorten(error.stderr), where=where, fix="See the agent's log.") from error
        return done.stdout


def last_reason(own_log: Path) -> str:
    """Return the last error that runc wrote into a log of its own, or an empty text."""
    try:
        lines = own_log.read_bytes().splitlines()
    except FileNotFoundError:
        return ""
    for line in reversed(lines):
        try:
            entry = msgspec.json.decode(line, type=_LogLine)
        except msgspec.DecodeError:
            continue
        if entry.level in {"error", "fatal"}:
            return _shorten(entry.msg.encode())
    return ""


def _shorten(text: bytes) -> str:
    return " ".join(text.decode(errors="replace").split())[-REASON_MAX:] or "it said nothing"
