"""What groups say of killed processes: their texts, and both versions of them as trees of files."""

import os
from pathlib import Path

import pytest

from agent.drivers import cgroups

V1 = "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"
V2 = "low 0\nhigh 0\nmax 812\noom 9\noom_kill {}\noom_group_kill 1\n"


@pytest.mark.parametrize("text", [V1, V2])
@pytest.mark.parametrize("count", [0, 1, 4711])
def test_the_kernel_s_own_words_are_read(text: str, count: int) -> None:
    assert cgroups.killed(text.format(count)) == count


@pytest.mark.parametrize("text", ["", "oom_kill_disable 1\nunder_oom 1\n", "oom_kill\n", "oom_kill 1 2\n"])
def test_a_kernel_that_does_not_count_has_killed_none(text: str) -> None:
    assert cgroups.killed(text) == 0


@pytest.fixture(params=["v1", "v2"])
def groups(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A tree of this version with one container's group, in which two were killed, and its one process 7."""
    unified = request.param == "v2"
    monkeypatch.setattr(cgroups, "ROOT", tmp_path / "cgroup")
    monkeypatch.setattr(cgroups, "PROC", tmp_path / "proc")
    file = "memory.events" if unified else "memory/memory.oom_control"
    top = (tmp_path / "cgroup" / file).parent
    (top / "engine/one").mkdir(parents=True)
    (top / Path(file).name).write_text((V2 if unified else V1).format(5))
    (top / "engine/one" / Path(file).name).write_text((V2 if unified else V1).format(2))
    if unified:
        (top / "cgroup.controllers").touch()
    (tmp_path / "proc/7").mkdir(parents=True)
    lines = "0::{0}\n" if unified else "9:name=systemd:/x\n4:cpu,memory:{0}\n0::/other\n"
    (tmp_path / "proc/7/cgroup").write_text(lines.format("/engine/one"))
    (tmp_path / "proc/8").mkdir()
    (tmp_path / "proc/8/cgroup").write_text(lines.format("/"))
    return str(request.param)


def test_a_group_is_found_by_its_name_and_by_its_process(groups: str) -> None:
    assert cgroups.is_unified() == (groups == "v2")
    assert cgroups.killed_in("/engine/one") == cgroups.killed_beside(7) == 2
    assert cgroups.killed_in("/engine/gone") == 0


@pytest.mark.usefixtures("groups")
def test_what_the_whole_device_killed_is_no_container_s() -> None:
    """A process that is about to end is shown in the topmost group."""
    assert cgroups.killed_beside(8) == 0
    assert cgroups.killed_beside(9) == 0, "one that is gone"


def test_of_this_process_the_real_kernel_tells() -> None:
    assert cgroups.killed_beside(os.getpid()) >= 0
