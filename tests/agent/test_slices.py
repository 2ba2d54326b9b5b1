"""The slices that the agent asks of the kernel, read back from it."""

import ctypes
import os
import platform
import subprocess
import sys
import threading

import pytest

from agent.slices import ATTRIBUTES, LEAST_NS, ask_for_short_slices

SCHED_GETATTR = {"x86_64": 315, "aarch64": 275}
LINUX = tuple(int(part) for part in platform.release().split(".")[:2])
pytestmark = pytest.mark.skipif(
    LINUX < (6, 12) or platform.machine() not in SCHED_GETATTR,
    reason="the kernel has no slices of a task's own",
)


def slice_ns(task: int) -> int:
    held = ctypes.create_string_buffer(ATTRIBUTES.size)
    number = SCHED_GETATTR[platform.machine()]
    assert ctypes.CDLL(None).syscall(number, task, held, ATTRIBUTES.size, 0) == 0
    return int(ATTRIBUTES.unpack(held.raw)[5])


def test_what_it_starts_has_short_slices_too_and_others_do_not() -> None:
    before_ns = slice_ns(0)
    seen = dict[str, int]()

    def within() -> None:
        assert ask_for_short_slices()
        seen["own"] = slice_ns(0)
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
            seen["child"] = slice_ns(child.pid)

    thread = threading.Thread(target=within)
    thread.start()
    thread.join()
    assert seen == {"own": LEAST_NS, "child": LEAST_NS}
    assert slice_ns(0) == before_ns != LEAST_NS, "a thread's own, not the process's"


def test_they_can_be_taken_back_and_the_nice_value_stays() -> None:
    with subprocess.Popen(["nice", "-n", "5", "sleep", "60"]) as child:
        while os.getpriority(os.PRIO_PROCESS, child.pid) != 5:
            pass
        usual_ns = slice_ns(child.pid)
        assert ask_for_short_slices(child.pid)
        assert (slice_ns(child.pid), os.getpriority(os.PRIO_PROCESS, child.pid)) == (LEAST_NS, 5)
        assert ask_for_short_slices(child.pid, slice_ns=0)
        assert slice_ns(child.pid) == usual_ns
        child.kill()


def test_a_task_with_another_policy_is_left_alone() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        os.sched_setscheduler(child.pid, os.SCHED_BATCH, os.sched_param(0))
        assert not ask_for_short_slices(child.pid)
        assert os.sched_getscheduler(child.pid) == os.SCHED_BATCH
        child.kill()
