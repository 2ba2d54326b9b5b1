"""The children that unpack: what they cannot do, and that an agent outlives them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.confinement import rights
from agent.confinement.run import CHILD, ChildLimits, ChildLostError, run_confined
from tests.agent import probe

PROBE = "tests.agent.probe"
MAY = {"write in the folder", "link in the folder", "write to the file"}
# What limits alone forbid, on any kernel.
NEVER = {"take much memory", "open many files", "gain privileges"}


@pytest.fixture
def request_of(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """What a probe is given: places, and a server to reach."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/there").write_text("there")
    (tmp_path / "file").touch()
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield {
            "folder": str(tmp_path / "folder"),
            "file": str(tmp_path / "file"),
            "elsewhere": str(tmp_path / "elsewhere"),
            "port": server.getsockname()[1],
            "pid": os.getpid(),
        }


def run(request: dict[str, Any], **limits: int) -> dict[str, bool]:
    answer: dict[str, bool] = run_confined(
        PROBE,
        request,
        folders=[Path(request["folder"])],
        files=[Path(request["file"])],
        limits=ChildLimits(**limits),
    )
    return answer


def came_off(answer: dict[str, bool]) -> set[str]:
    return {name for name, well in answer.items() if well}


@pytest.mark.system
def test_a_child_writes_where_it_may_and_reaches_nothing_else(request_of: dict[str, Any]) -> None:
    if rights.landlock_abi() < 6:
        pytest.skip("the kernel has no Landlock of version 6 (Linux 6.12)")
    assert came_off(run(request_of)) == MAY
    assert Path(request_of["elsewhere"], "there").read_text() == "there"


def test_limits_hold_on_any_kernel(request_of: dict[str, Any]) -> None:
    done = came_off(run(request_of))
    assert done >= MAY
    assert not done & NEVER


@pytest.mark.system
def test_the_control_unconfined_all_of_it_comes_off(request_of: dict[str, Any]) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root has privileges to keep")
    words = [sys.executable, probe.__file__, json.dumps(request_of)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert all(json.loads(done.stdout).values()), done.stdout


@pytest.mark.parametrize(
    ("what", "limits", "ending"),
    [
        ("die", {}, "failed"),
        ("fail", {}, "failed"),
        ("talk", {}, "failed"),
        ("memory", {}, "memory"),
        ("spin", {"cpu_s": 1}, "time"),
        ("spin", {"wall_s": 1}, "failed"),
    ],
)
def test_a_child_that_is_lost_says_why_and_nothing_of_its_input(
    request_of: dict[str, Any], what: str, limits: dict[str, int], ending: str
) -> None:
    with pytest.raises(ChildLostError) as caught:
        run({**request_of, "what": what}, **limits)
    assert caught.value.ending == ending
    assert "canary" not in str(caught.value)


def test_a_child_ends_with_its_agent(request_of: dict[str, Any], tmp_path: Path) -> None:
    asked = json.dumps({**request_of, "what": "spin"})
    source = f"from agent.confinement.run import run_confined; run_confined({PROBE!r}, {asked})"
    agent = subprocess.Popen([sys.executable, "-c", source], cwd=Path(__file__).parents[2])
    child = _within(lambda: _child_of(agent.pid))
    _within(lambda: _cpu_ticks(child) > 0 or None)
    agent.send_signal(signal.SIGKILL)
    agent.wait()
    _within(lambda: not _runs(child) or None)


def _child_of(pid: int) -> int | None:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return next((int(each) for each in found if str(CHILD) in _command(int(each))), None)


def _command(pid: int) -> str:
    path = Path(f"/proc/{pid}/cmdline")
    return path.read_bytes().replace(b"\0", b" ").decode() if path.exists() else ""


def _cpu_ticks(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])


def _runs(pid: int) -> bool:
    path = Path(f"/proc/{pid}/stat")
    return path.exists() and path.read_text().rpartition(")")[2].split()[0] != "Z"


def _within(look: Any, within_s: float = 20) -> Any:
    deadline = time.monotonic() + within_s
    while (found := look()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found
