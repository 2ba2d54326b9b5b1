"""The service: what the daemon tells systemd over a real socket, and the unit file."""

import contextlib
import ctypes
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from agent.service import ServiceManager
from simulators.demo.stage import Daemon
from tests.docs.pages import ROOT
from tests.drivers.rig import runc_is_missing
from tests.machine.device import PROGRAM, Enrolled

UNIT = ROOT / "configs/headland-agent.service"
SILENCE_S = 1.5
WATCHDOG_S = 0.6
TGKILL = 234 if platform.machine() == "x86_64" else 131  # of asm/unistd.h


class Manager:
    """What systemd is to a service: a datagram socket."""

    def __init__(self, address: str) -> None:
        self.line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.line.bind(address)
        self.line.settimeout(30)

    def told(self) -> str:
        return self.line.recv(4096).decode()

    def until(self, words: str) -> list[str]:
        """Return what was told before ``words``."""
        before = []
        while (told := self.told()) != words:
            before.append(told)
        return before

    def is_silent(self) -> bool:
        """Is nothing told for a while, beyond what was under way?"""
        self.line.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.told()
        self.line.settimeout(SILENCE_S)
        try:
            self.told()
        except TimeoutError:
            return True
        finally:
            self.line.settimeout(30)
        return False


@pytest.fixture
def manager(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    """A manager whose services are told of it by the environment."""
    path = folder / "notify"
    manager = Manager(str(path))
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    monkeypatch.setenv("WATCHDOG_USEC", str(int(WATCHDOG_S * 1e6)))
    yield manager
    manager.line.close()


@pytest.fixture
def daemon(device: Enrolled, manager: Manager) -> Iterator[Daemon]:
    daemon = device.daemon()
    daemon.begin()
    yield daemon
    daemon.stop()


def test_it_tells_when_it_is_ready_alive_and_stopping(daemon: Daemon, manager: Manager) -> None:
    assert manager.told() == "READY=1\nSTATUS=cam-1, process (as set): plain processes, no isolation"
    for _ in range(3):
        assert manager.told() == "WATCHDOG=1"
    environment = Path(f"/proc/{daemon.pid}/environ").read_bytes()
    assert b"NOTIFY_SOCKET" in environment, "the control: it was given the socket"
    os.kill(daemon.pid, signal.SIGTERM)
    assert set(manager.until("STOPPING=1")) <= {"WATCHDOG=1"}
    assert manager.is_silent()


def test_a_loop_that_hangs_is_not_told_to_be_alive(
    device: Enrolled, daemon: Daemon, manager: Manager
) -> None:
    manager.until("WATCHDOG=1")
    # The loop reads the records of containers at each look: at this one it waits for a writer.
    home = device.state / "containers/hangs-00000000"
    beside = device.state / "beside"
    beside.mkdir()
    os.mkfifo(beside / "record.json")
    beside.rename(home)
    daemon.wait_for("the loop shows no life")
    assert manager.is_silent()
    with (home / "record.json").open("wb"):
        (home / "record.json").unlink()
    daemon.wait_for("a round failed")
    assert manager.told() == "WATCHDOG=1", "it lives again, so it is told again"


def test_a_loop_that_waits_long_is_alive(device: Enrolled, manager: Manager, folder: Path) -> None:
    """Between two looks nothing hangs, however far apart they are."""
    config = folder / "agent.toml"
    config.write_text("reconcile_interval_s = 3600.0\n")
    daemon = device.daemon("--driver", "process", "--config", str(config))
    daemon.begin()
    assert manager.told().startswith("READY=1")
    assert [manager.told() for _ in range(4)] == ["WATCHDOG=1"] * 4
    daemon.stop()


def test_a_name_in_the_abstract_namespace_and_a_watchdog_of_another_process() -> None:
    name = f"headland-test-{os.getpid()}"
    manager = Manager(f"\0{name}")
    environment = {"NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": "300000", "WATCHDOG_PID": "1", "KEPT": "x"}
    service = ServiceManager(environment)
    assert environment == {"KEPT": "x"}, "no child of the agent may speak for it"
    assert service.watchdog_s == 0
    service.ready("two\nlines", lambda: 0.0)
    assert manager.told() == "READY=1\nSTATUS=two lines"
    service.stopping()
    assert manager.told() == "STOPPING=1"
    manager.line.close()


def test_without_a_manager_or_with_one_that_is_gone_nothing_happens(folder: Path) -> None:
    for address in ("", str(folder / "gone"), "@gone", "x" * 200):
        service = ServiceManager({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "60000"})
        service.ready("works", lambda: 0.0)
        service.stopping()
    assert not [thread for thread in threading.enumerate() if thread.name == "watchdog"]


def unit() -> dict[str, str]:
    lines = [line for line in UNIT.read_text().splitlines() if "=" in line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_the_unit_asks_for_what_the_daemon_does() -> None:
    found = unit()
    assert (found["Type"], found["NotifyAccess"], found["KillMode"]) == ("notify", "main", "process")
    assert (found["Restart"], found["StartLimitIntervalSec"]) == ("always", "0")
    assert int(found["WatchdogSec"]) >= 60, "runc may take 30 s for a step"
    assert "network" not in found["After"]


@pytest.mark.system
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")

    def verify(text: str) -> str:
        path = tmp_path / "headland-agent.service"
        path.write_text(text)
        done = subprocess.run([program, "verify", str(path)], capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    text = UNIT.read_text().replace("/usr/bin/headland-agent", PROGRAM)
    assert str(tmp_path / "headland-agent.service") not in verify(text)
    planted = verify(text.replace("WatchdogSec=", "WatchdogSek="))
    assert "WatchdogSek" in planted, "the control: an unknown key is found"


@pytest.mark.system
def test_containers_run_with_the_rights_that_the_unit_leaves(device: Enrolled) -> None:
    if missing := runc_is_missing():
        pytest.skip(missing)
    dropped = re.findall(r"CAP_(\w+)", unit()["CapabilityBoundingSet"])
    assert "SYS_MODULE" in dropped

    def check(without: list[str]) -> str:
        bounds = ",".join(f"-{name.lower()}" for name in without)
        command = ["setpriv", "--no-new-privs", "--bounding-set", bounds, "--", PROGRAM, "check"]
        command += ["--state-dir", str(device.state), "--driver", "runc"]
        told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        return next(line for line in told.splitlines() if "driver" in line)

    assert check(dropped).startswith("ok")
    assert check([*dropped, "SYS_ADMIN"]).startswith("failed"), "the control: without that right none runs"


def test_a_signal_that_another_thread_gets_stops_the_daemon_too(device: Enrolled) -> None:
    """Which thread gets a signal is the kernel's choice; found as a daemon that did not stop."""
    daemon = device.daemon()
    daemon.start("driver")
    others = {int(path.name) for path in Path(f"/proc/{daemon.pid}/task").iterdir()} - {daemon.pid}
    assert ctypes.CDLL(None).syscall(TGKILL, daemon.pid, max(others), int(signal.SIGTERM)) == 0
    try:
        assert psutil.Process(daemon.pid).wait(20) == 0
    finally:
        daemon.kill()
