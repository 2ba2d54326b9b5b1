"""What is read of runc's states is what runc itself says of them."""

import os
import shutil
import signal
import subprocess

import msgspec
import pytest

from agent.drivers.runc_command import ListedContainer, RuncCommand
from agent.drivers.runc_state import STATE_FILE, RuncByState, UnknownStateError, read_states
from tests.drivers.rig import Rig, exited, status, until

pytestmark = [pytest.mark.system, pytest.mark.parametrize("rig", ["runc"], indirect=True)]


def both(rig: Rig) -> dict[str, ListedContainer]:
    """Return what is read, which is what runc says; paused counts as running."""
    program, root = shutil.which("runc") or "", rig.state / "runc"
    listed = RuncCommand(program, root, timeout_s=30).list()
    said = {
        name: msgspec.structs.replace(each, status="running" if each.status == "paused" else each.status)
        for name, each in listed.items()
    }
    assert read_states(root) == said == RuncByState(program, root, timeout_s=30).list()
    return said


def runc(rig: Rig, *words: str) -> None:
    program = shutil.which("runc") or ""
    subprocess.run([program, "--root", rig.state / "runc", *words], check=True, capture_output=True)


def test_every_state_is_read_as_runc_says_it(rig: Rig) -> None:
    assert both(rig) == {}
    driver = rig.start(rig.spec("serve"))
    assert both(rig)["one"].status == "running"
    runc(rig, "pause", "one")
    assert both(rig)["one"].running
    runc(rig, "resume", "one")
    driver.signal("one", signal.SIGKILL)
    exited(driver, "one")
    assert both(rig)["one"] == ListedContainer(id="one", pid=0, status="stopped")
    driver.remove("one")
    assert both(rig) == {}


def test_one_that_was_not_started_does_not_run(rig: Rig) -> None:
    driver = rig.start(rig.spec("serve"))
    create = [shutil.which("runc") or "", "--root", str(rig.state / "runc"), "create"]
    create += ["--bundle", str(rig.spec("serve").home / "bundle"), "second"]
    with (rig.folder / "second.log").open("wb") as log:
        subprocess.run(create, check=True, stdout=log, stderr=log)
    assert both(rig)["second"].status == "created"
    assert not both(rig)["second"].running
    runc(rig, "delete", "--force", "second")
    assert status(driver, "one") is not None


def test_another_process_with_the_same_number_is_not_the_container(rig: Rig) -> None:
    rig.start(rig.spec("serve"))
    path = rig.state / "runc" / "one" / STATE_FILE
    kept = path.read_bytes()
    state = msgspec.json.decode(kept)
    state["init_process_pid"] = os.getpid()
    path.write_bytes(msgspec.json.encode(state))
    assert read_states(rig.state / "runc")["one"].status == "stopped"
    path.write_bytes(kept)
    assert both(rig)["one"].running


def test_half_made_ones_are_not_listed_and_strange_ones_are_asked_of_runc(rig: Rig) -> None:
    rig.start(rig.spec("serve"))
    (rig.state / "runc" / "half").mkdir()
    assert both(rig).keys() == {"one"}
    (rig.state / "runc" / "half").rmdir()
    path = rig.state / "runc" / "one" / STATE_FILE
    kept = path.read_bytes()
    path.write_bytes(b'{"strange": 1}')
    with pytest.raises(UnknownStateError):
        read_states(rig.state / "runc")
    program, root = shutil.which("runc") or "", rig.state / "runc"
    by_state, asked = (kind(program, root, timeout_s=30).list() for kind in (RuncByState, RuncCommand))
    assert by_state == asked
    path.write_bytes(kept)
    until("it runs", lambda: both(rig)["one"].running)
