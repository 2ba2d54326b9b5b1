"""Which driver a device gets, and that the trial leaves nothing behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent import tmpfs
from agent.drivers.choose import Wanted, choose_driver
from agent.drivers.trial import runc_obstacle
from tests.drivers.rig import is_missing, runc_is_missing
from tests.faults.tracing import why_not

ASK = """
import os, sys
from pathlib import Path
from agent.drivers.choose import choose_driver
from agent.drivers.port import DriverUnavailableError
os.chmod(sys.argv[2], 0o777)
if sys.argv[3] != "0":
    os.setuid(int(sys.argv[3]))
try:
    driver, why = choose_driver(sys.argv[1], Path(sys.argv[2]))
    print(driver.name, why, sep="|")
except DriverUnavailableError as error:
    print(error.code, error, sep="|")
"""


def ask(wanted: str, state: Path, *, uid: int, path: str, prefix: tuple[str, ...] = ()) -> list[str]:
    """Choose in a process of its own, as user ``uid``, with this PATH, and below a program."""
    words = [*prefix, sys.executable, "-c", ASK, wanted, str(state), str(uid)]
    done = subprocess.run(words, env={"PATH": path}, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 1
    return done.stdout.strip().split("|")


def test_process_is_taken_as_asked_and_says_that_it_isolates_nothing(tmp_path: Path) -> None:
    driver, why = choose_driver("process", tmp_path)
    assert driver.name == "process"
    assert "no isolation" in why


@pytest.mark.system
def test_runc_is_chosen_after_a_trial_that_leaves_nothing(tmp_path: Path) -> None:
    if missing := runc_is_missing():
        pytest.skip(missing)
    wishes: tuple[Wanted, ...] = ("auto", "runc")
    for wanted in wishes:
        driver, why = choose_driver(wanted, tmp_path)
        assert driver.name == "runc"
        assert why.startswith("runc (")
    assert list(tmp_path.iterdir()) == []
    assert str(tmp_path) not in Path("/proc/mounts").read_text()


@pytest.mark.system
def test_user_namespaces_are_used_where_a_trial_with_one_works_and_the_reason_is_said(tmp_path: Path) -> None:
    """A kernel that lacks a call is played by strace."""
    if missing := is_missing("runc-userns") or why_not():
        pytest.skip(missing)
    assert choose_driver("auto", tmp_path)[1].endswith(", with user namespaces")
    off = choose_driver("auto", tmp_path, user_namespaces="off")[1]
    assert off.endswith(", without user namespaces (as set)")
    lacking = ("strace", "-f", "-o", "/dev/null", "-e", "inject=mount_setattr:error=ENOSYS")
    name, why = ask("auto", tmp_path, uid=0, path=os.environ["PATH"], prefix=lacking)
    assert name == "runc"
    assert "without user namespaces" in why
    assert "mount_setattr: Function not implemented" in why
    assert list(tmp_path.iterdir()) == []
    assert str(tmp_path) not in Path("/proc/mounts").read_text()


@pytest.mark.system
def test_what_a_killed_trial_left_is_no_obstacle(tmp_path: Path) -> None:
    if missing := runc_is_missing():
        pytest.skip(missing)
    trial = tmp_path / "runc-trial"
    (trial / "home/bundle").mkdir(parents=True)
    (trial / "runc-homes").mkdir()
    (trial / "runc-homes/trial-0").symlink_to(trial / "home")
    assert runc_obstacle(tmp_path) is None
    assert not trial.exists()
    (trial / "memory").mkdir(parents=True)
    assert tmpfs.mount(trial / "memory", "headland-trial", "size=64k")
    choose_driver("auto", tmp_path)
    assert not trial.exists()


def test_without_runc_it_is_processes_and_the_reason_is_said(tmp_path: Path) -> None:
    name, why = ask("auto", tmp_path, uid=0, path="/nowhere")
    assert name == "process"
    reason = "runc is not on the PATH" if os.geteuid() == 0 else "not run as root"
    assert reason in why
    code, message = ask("runc", tmp_path, uid=0, path="/nowhere")
    assert code == "driver-unavailable"
    assert reason in message


@pytest.mark.system
def test_without_root_it_is_processes_and_the_reason_is_said(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to become another user")
    name, why = ask("auto", tmp_path, uid=65532, path=os.environ["PATH"])
    assert name == "process"
    assert "does not run as root" in why
