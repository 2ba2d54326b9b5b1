"""A sandbox: what can be seen and done in it, how it ends, and that nothing is left of it."""

import dataclasses
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from cloud_hub.confinement.bubblewrap import sandbox_command
from cloud_hub.confinement.errors import ChildLostError
from cloud_hub.confinement.limits import MIB, SandboxLimits
from cloud_hub.confinement.sandbox import Ended, run_sandboxed
from cloud_hub.images.build.interpreter import running_interpreter
from tests.activities.waiting import until

pytestmark = pytest.mark.system

LIMITS = SandboxLimits(
    memory_bytes=512 * MIB,
    cpu_s=20,
    wall_s=60,
    file_bytes=8 * MIB,
    work_bytes=16 * MIB,
    answer_bytes=MIB,
    processes=40,
)
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _with_bubblewrap() -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("needs bubblewrap")


def run(
    script: str,
    *words: str,
    limits: SandboxLimits = LIMITS,
    cancelled: Callable[[], bool] = lambda: False,
    visible: dict[str, Path] | None = None,
) -> tuple[Ended, bytes]:
    """Run a script of Python in a sandbox."""
    interpreter, answer = running_interpreter(), io.BytesIO()
    prefix = Path(interpreter.facts.prefix)
    own = {str(prefix): prefix} if prefix != Path("/usr") else {}
    python = str(interpreter.executable)
    ended = run_sandboxed(
        interpreter.executable,
        [python, "-I", "-S", "-c", script, *words],
        visible={**own, **(visible or {})},
        environment={"GIVEN": "1", "LC_ALL": "C.UTF-8"},
        limits=limits,
        answer=answer,
        cancelled=cancelled,
    )
    return ended, answer.getvalue()


def sleepers(seconds: str) -> list[int]:
    found = psutil.process_iter(["cmdline"])
    return [one.pid for one in found if (one.info["cmdline"] or [])[:2] == ["sleep", seconds]]


LOOK = """
import json, os, socket
def does(what):
    try: what()
    except Exception as error: return type(error).__name__
    return "yes"
def write(path): open(path, "w").close()
print(json.dumps({
    "root": sorted(os.listdir("/")),
    "etc": sorted(os.listdir("/etc")),
    "environment": sorted(os.environ),
    "user": [os.getuid(), os.getgid(), os.getgroups()],
    "processes": [int(one) for one in os.listdir("/proc") if one.isdigit()],
    "descriptors": sorted(int(one) for one in os.listdir("/proc/self/fd"))[:-1],
    "interfaces": [name for _, name in socket.if_nameindex()],
    "writes": {path: does(lambda: write(path + "/canary")) for path in ("/", "/usr", "/dev", "/etc", "/given",
        "/proc/sys/kernel", "/headland/work", "/tmp", "/dev/shm")},
    "status": [line.strip() for line in open("/proc/self/status") if line.startswith(("CapEff", "NoNew"))],
    "first_to_go": open("/proc/self/oom_score_adj").read().strip(),
}))
"""


def test_there_is_nothing_but_programs_and_what_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADLAND_CANARY", "secret")
    (tmp_path / "given").mkdir()
    tmp_path.chmod(0o700)
    ended, answer = run(LOOK, visible={"/given": tmp_path / "given"})
    assert ended.code == 0, ended.said
    seen = json.loads(answer)
    prefix = Path(running_interpreter().facts.prefix).parts[1]
    programs = {"bin", "lib", "lib32", "lib64", "libx32", "sbin", "usr"}
    assert set(seen["root"]) - programs == {"dev", "etc", "given", "headland", "proc", "tmp"} | (
        {prefix} - programs
    )
    assert set(seen["etc"]) <= {"alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d"}
    assert set(seen["environment"]) == {"GIVEN", "LC_ALL", "PATH", "PWD"}
    assert seen["user"][:2] == [65534, 65534]
    assert len(seen["processes"]) == 2
    assert seen["descriptors"] == [0, 1, 2]
    assert seen["interfaces"] == ["lo"]
    assert {path for path, can in seen["writes"].items() if can == "yes"} == {
        "/headland/work",
        "/tmp",
        "/dev/shm",
    }
    assert seen["status"] == ["CapEff:\t0000000000000000", "NoNewPrivs:\t1"]
    assert seen["first_to_go"] == "1000"


FORK = """
import os, sys, time
count = 0
try:
    while count < 60:
        if os.fork() == 0:
            time.sleep(60); os._exit(0)
        count += 1
except BlockingIOError:
    pass
print(count)
"""
FILL = """
import errno
count = 0
try:
    for number in range(8):
        with open(f"/headland/work/{number}", "wb") as stream:
            for _ in range(4): count += stream.write(bytes(1 << 20))
except OSError as error:
    assert error.errno == errno.ENOSPC
print(count >> 20)
"""
EAT = """
try: print(len(bytes(600 << 20)) >> 20)
except MemoryError: print("MemoryError")
"""
NAMESPACE = """
import ctypes
print(ctypes.CDLL(None).unshare(0x10000000))
"""


@pytest.mark.parametrize(
    ("script", "limits", "told"),
    [
        (FORK, LIMITS, range(30, 40)),
        (FORK, dataclasses.replace(LIMITS, processes=100), range(60, 61)),
        (FILL, LIMITS, range(10, 17)),
        (FILL, dataclasses.replace(LIMITS, work_bytes=64 * MIB), range(32, 33)),
        (EAT, dataclasses.replace(LIMITS, memory_bytes=2048 * MIB), range(600, 601)),
        (NAMESPACE, LIMITS, range(-1, 0)),
    ],
)
def test_each_limit_is_what_stops_it(script: str, limits: SandboxLimits, told: range) -> None:
    """Each with a wider limit beside it, under which the same work ends well."""
    ended, answer = run(script, limits=limits)
    assert ended.code == 0, ended.said
    assert int(answer) in told


def test_memory_is_bounded() -> None:
    assert run(EAT)[1] == b"MemoryError\n"


def test_a_file_is_bounded() -> None:
    script = "open('/tmp/large', 'wb').write(bytes(9 << 20))"
    wider = dataclasses.replace(LIMITS, file_bytes=10 * MIB)
    assert run(script)[0].code != 0
    assert run(script, limits=wider)[0].code == 0


def test_an_answer_is_bounded() -> None:
    with pytest.raises(ChildLostError) as caught:
        run("print('x' * (2 << 20))")
    assert caught.value.ending == "answer"


def test_what_is_said_is_kept_to_its_end_and_the_exit_code() -> None:
    ended, answer = run("import sys; sys.stderr.write('x' * 300000 + 'end'); sys.exit(3)")
    assert (ended.code, len(ended.said), ended.said[-3:], answer) == (3, 16 * 1024, "end", b"")


AWAY = """
import os, subprocess, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 3)
        os.execv("/usr/bin/sleep", ["sleep", sys.argv[1]])
    os._exit(0)
os.wait()
time.sleep(float(sys.argv[2]))
"""


@pytest.mark.parametrize("ends", ["itself", "cancelled", "time"])
def test_nothing_outlives_it(ends: str) -> None:
    seconds = f"{600 + os.getpid()}.25"
    began: list[int] = []

    def cancelled() -> bool:
        began.extend(sleepers(seconds))
        return ends == "cancelled" and bool(began)

    if ends == "itself":
        assert run(AWAY, seconds, "1", cancelled=cancelled)[0].code == 0
    else:
        limits = dataclasses.replace(LIMITS, wall_s=1.5 if ends == "time" else 60)
        with pytest.raises(ChildLostError) as caught:
            run(AWAY, seconds, "60", limits=limits, cancelled=cancelled)
        assert caught.value.ending == ends
    assert began, "it never ran"
    until(lambda: not sleepers(seconds), "the end of the sandbox")


def test_it_ends_with_the_hub() -> None:
    seconds = f"{600 + os.getpid()}.75"
    script = "from tests.confinement.test_sandbox import AWAY, run; import sys; run(AWAY, sys.argv[1], '60')"
    with subprocess.Popen([sys.executable, "-c", script, seconds], cwd=ROOT) as hub:
        try:
            until(lambda: sleepers(seconds), "the start of the sandbox")
        finally:
            hub.send_signal(signal.SIGKILL)
    until(lambda: not sleepers(seconds), "the end of the sandbox")


def test_without_bubblewrap_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ChildLostError, match="bwrap is not installed") as caught:
        run("pass")
    assert caught.value.ending == "unavailable"


def test_where_namespaces_are_forbidden_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What bubblewrap prints and how it exits on such a machine."""
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(ChildLostError, match="makes no sandbox: bwrap: No permissions") as caught:
        run("pass")
    assert caught.value.ending == "unavailable"


def test_a_plain_user_makes_one_too() -> None:
    """By nobody, where this is root; else as every other test here."""
    command = sandbox_command(["/bin/sh", "-c", "id -u; ls /"], {}, work_bytes=MIB, root=False)
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    done = subprocess.run([*nobody, *command], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.split()[0] == "65534"
    assert {"root", "home", "var"}.isdisjoint(done.stdout.split())
