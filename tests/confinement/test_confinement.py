"""A confined child misbehaves in every way it can: the hub's side gets one error and no child is left."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from cloud_hub.confinement.errors import ChildLostError
from cloud_hub.confinement.limits import MIB, ChildLimits
from cloud_hub.confinement.run import run_confined

WORK = "tests.confinement.work"
LIMITS = ChildLimits(memory_bytes=128 * MIB, cpu_s=1, wall_s=60, answer_bytes=MIB)


def work(do: str, limits: ChildLimits = LIMITS, **request: Any) -> object:
    return run_confined(WORK, {"do": do, **request}, limits)


def test_an_answer_comes_back_and_noise_does_not() -> None:
    assert work("echo", value=["a", {"b": 1}]) == ["a", {"b": 1}]


@pytest.mark.parametrize(
    ("do", "request_", "ending"),
    [
        ("spin", {}, "time"),
        ("eat", {"bytes": 256 * MIB}, "memory"),
        ("crash", {}, "killed"),
        ("recurse", {}, "failed"),
        ("talk", {"bytes": 2 * MIB}, "answer"),
        ("silent", {}, "answer"),
        ("write", {"path": "/tmp/headland-confined-canary"}, "failed"),
        ("hold", {}, "failed"),
        ("absent", {}, "failed"),
    ],
)
def test_a_misbehaving_child_is_one_error(do: str, request_: dict[str, Any], ending: str) -> None:
    before = psutil.Process().children()  # servers of other tests
    with pytest.raises(ChildLostError) as caught:
        work(do, **request_)
    assert caught.value.ending == ending
    assert psutil.Process().children() == before
    canary = Path("/tmp/headland-confined-canary")
    # The file may be made; not one byte may be in it.
    assert not canary.exists() or canary.stat().st_size == 0
    canary.unlink(missing_ok=True)


def test_a_child_that_waits_is_ended_by_the_clock() -> None:
    before = psutil.Process().children()
    with pytest.raises(ChildLostError) as caught:
        work("sleep", dataclasses.replace(LIMITS, wall_s=2))
    assert caught.value.ending == "time"
    assert psutil.Process().children() == before


def test_each_limit_is_what_stops_it(tmp_path: Path) -> None:
    """Negative control: with a wider limit the same work ends well."""
    wide = ChildLimits(memory_bytes=1024 * MIB, cpu_s=60, wall_s=60, file_bytes=MIB, open_files=256)
    assert work("eat", wide, bytes=256 * MIB) == 256 * MIB
    assert work("talk", wide, bytes=2 * MIB) == "x" * 2 * MIB
    assert work("hold", wide) is None
    work("write", wide, path=str(tmp_path / "written"))
    assert (tmp_path / "written").read_bytes() == b"x"


def test_a_child_has_nothing_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADLAND_CANARY", "secret")
    inherited = os.open("/etc/hostname", os.O_RDONLY)
    os.set_inheritable(inherited, True)
    try:
        seen = work("secrets")
    finally:
        os.close(inherited)
    assert isinstance(seen, dict)
    assert set(seen["environment"]) == {"LC_ALL", "OPENBLAS_NUM_THREADS"}
    # The three standard ones, the answer's, /dev/null, and the listing itself.
    assert len(seen["descriptors"]) == 6
    assert seen["no_new_privileges"]
    assert seen["arguments"] == ["-I", "-S", "-B"]
    assert seen["core"] == [0, 0]


@pytest.mark.system
def test_a_child_cannot_start_another() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to become another user that the kernel counts processes of")
    assert work("fork") == "BlockingIOError"


def sleepers(seconds: str) -> list[int]:
    found = psutil.process_iter(["cmdline"])
    return [one.pid for one in found if (one.info["cmdline"] or [])[:2] == ["sleep", seconds]]


def test_what_a_child_may_start_ends_with_it() -> None:
    """A compiler, say; the sleeper has a time of its own to be found by."""
    seconds = f"{600 + os.getpid()}.5"
    began: list[int] = []

    def cancelled() -> bool:
        began.extend(sleepers(seconds))
        return bool(began)

    limits = dataclasses.replace(LIMITS, may_fork=True)
    with pytest.raises(ChildLostError) as caught:
        run_confined(WORK, {"do": "start_and_wait", "seconds": seconds}, limits, cancelled=cancelled)
    assert caught.value.ending == "cancelled"
    assert began
    left = psutil.Process(began[0]) if psutil.pid_exists(began[0]) else None
    if left is not None:
        left.wait(20)
    assert sleepers(seconds) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="the child changes its user")
def test_only_a_child_that_may_fork_can() -> None:
    assert work("fork") == "BlockingIOError"
    assert work("fork", dataclasses.replace(LIMITS, may_fork=True)) == "forked"
