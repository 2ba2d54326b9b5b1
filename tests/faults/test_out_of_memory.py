"""A module that meets its memory limit under runc: it ends as a whole, and the reason is told.

The judge looks at processes: of a container that the kernel has killed a part of none may be left, and of its
neighbour none may be gone. The control is the same agent, which does not see what the kernel killed.
"""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.drivers import cgroups
from agent.drivers.port import ContainerStatus
from agent.endpoints.control import hand_over
from contract.agent_api import CONTAINER_ENV
from contract.desired import ImageRef
from contract.messages import ModuleReport
from contract.oci import architecture_of
from tests.drivers.rig import runc_is_missing, until
from tests.faults.images import PROGRAM, compiled
from tests.faults.rig import Rig
from tests.faults.test_bad_release import layer

pytestmark = pytest.mark.system
HOSTILE, NEIGHBOUR = "a", "b"
WHY = "out of memory (its limit is 32 MiB)"
GONE_WITHIN_S = 5.0
ROUNDS_S = 3.0  # ten of the agent's rounds
FAMILY = r"""
#include <sys/wait.h>

static void take(int mebibytes) {
  for (int taken = 0; taken < mebibytes; taken++) {
    volatile char *more = malloc(1 << 20);
    for (int at = 0; more && at < 1 << 20; at += 1024) more[at] = 1;
  }
}

/* Children that take too much, one after the other, each the first to be killed for it. */
static void hoard(void) {
  for (;;) {
    if (fork() == 0) {
      int file = open("/proc/self/oom_score_adj", O_WRONLY);
      if (write(file, "1000", 4) == 4) take(1000);
      _exit(1);
    }
    wait(NULL);
  }
}

int main(int count, char **words) {
  const char *kind = count > 2 ? words[2] : "";
  if (fork() == 0) {
    if (!strcmp(kind, "late")) sleep(2); /* it is ready by then */
    if (strcmp(kind, "modest")) hoard();
    take(8);
    for (;;) pause();
  }
  while (!strcmp(kind, "early")) pause();
  return serve(2, words);
}
"""
BLIND = (
    "import sys\n"
    "from agent.drivers import runc\n"
    "runc.killed_in = lambda group: 0\n"
    "from agent.cli import main\n"
    "sys.exit(main(sys.argv[2:]))\n"
)


def add(rig: Rig, kind: str, version: int) -> ImageRef:
    """Serve an image whose first process serves as ever, beside a child that is of this kind."""
    program = compiled(PROGRAM.replace("int main(", "static int serve(") + FAMILY)
    files = layer({"bin/x": (program, 0o755), "version": (b"%d\n" % version, 0o644)})
    machine = architecture_of(os.uname().machine)
    return rig.registry.add_image([files], machine, args=("/bin/x", "/version", kind), name=f"m:{kind}")


def release(rig: Rig, **images: ImageRef) -> None:
    """Give the device other images for these modules, and wait for nothing."""
    stored = rig.stored()
    assert stored is not None
    modules = [replace(m, image=images.get(m.name, m.image)) for m in stored.modules]
    assert hand_over(rig.state, rig.device.document(stored.generation + 1, *modules)).accepted


@pytest.fixture
def rig(folder: Path) -> Iterator[Rig]:
    """A device with runc, not yet started."""
    if reason := runc_is_missing():
        pytest.skip(reason)
    rig = Rig(folder, "runc")
    try:
        yield rig
    finally:
        rig.close()


def told(rig: Rig, module: str) -> ModuleReport | None:
    """Return what the device reports of a module."""
    report = rig.reported()
    return next((m for m in report.modules if m.name == module), None) if report is not None else None


def starved(rig: Rig) -> ContainerStatus | None:
    """Return the hostile module's container that is out of memory, as a driver of the test's own sees it."""
    seen = (each for each in rig.driver().observe() if each.id.startswith(f"{HOSTILE}-"))
    return next((each for each in seen if each.out_of_memory), None)


def family(container_id: str) -> list[int]:
    """Return the processes of a container, whoever their parents are."""
    mark, found = f"{CONTAINER_ENV}={container_id}".encode(), []
    for entry in Path("/proc").iterdir():
        try:
            environment = (entry / "environ").read_bytes() if entry.name.isdigit() else b""
        except OSError:  # it has ended
            continue
        if mark in environment.split(b"\0"):
            found.append(int(entry.name))
    return found


@pytest.mark.timeout(120)
def test_it_ends_as_a_whole_is_told_and_starts_again_and_its_neighbour_is_left_alone(rig: Rig) -> None:
    rig.first()
    release(rig, **{HOSTILE: add(rig, "late", 3), NEIGHBOUR: add(rig, "modest", 4)})
    until("the neighbour runs", lambda: rig.running().get(NEIGHBOUR) == [4])
    (neighbour,) = (name for name in rig.processes().values() if name.startswith(f"{NEIGHBOUR}-"))
    until("its child has its memory", lambda: len(family(neighbour)) == 2)
    before = family(neighbour)
    half = until("it is out of memory", lambda: starved(rig))
    seen_at = time.monotonic()
    until("none of its processes is left", lambda: family(half.id) == [])
    assert time.monotonic() - seen_at < GONE_WITHIN_S
    again = f"started again, it was {WHY}"
    until("it is told", lambda: (one := told(rig, HOSTILE)) is not None and again in one.reason)
    one = told(rig, HOSTILE)
    assert one is not None
    assert one.image == "m:late", "a version that passed is not gone back from"
    _, status = rig.device.ask("status")
    assert {m["name"]: m["stopped"] for m in status["modules"]} == {HOSTILE: WHY, NEIGHBOUR: None}
    assert f"stopped by itself: {WHY}" in rig.daemon.log
    assert rig.daemon.log.count(f"{half.id} is killed: ") <= 1, "it is told once, however long it takes"
    until("it is killed again", lambda: rig.daemon.log.count(f"stopped by itself: {WHY}") > 1)
    assert family(neighbour) == before
    beside = told(rig, NEIGHBOUR)
    assert beside is not None
    assert (beside.state, beside.reason) == ("running", "")


@pytest.mark.timeout(120)
def test_a_version_that_is_out_of_memory_before_it_is_ready_gives_way_and_the_reason_is_told(
    rig: Rig,
) -> None:
    rig.first()
    release(rig, **{HOSTILE: add(rig, "early", 3)})

    def gone_back() -> ModuleReport | None:
        one = told(rig, HOSTILE)
        return one if one is not None and one.state == "rolled_back" else None

    one = until("it is rolled back", gone_back)
    assert one.reason == f"stopped before it was ready: {WHY}"
    until("nothing of it is left", lambda: rig.running() == {HOSTILE: [1], NEIGHBOUR: [1]})
    assert [rig.served(HOSTILE), rig.served(NEIGHBOUR)] == [1, 1]
    _, status = rig.device.ask("status")
    assert {m["name"]: m["failed"] for m in status["modules"]} == {HOSTILE: one.reason, NEIGHBOUR: None}


@pytest.mark.skipif(cgroups.is_unified(), reason="this kernel ends a container as a whole")
@pytest.mark.timeout(120)
def test_negative_control_an_agent_that_does_not_look_leaves_it_half_alive(rig: Rig) -> None:
    rig.with_prefix(Path(sys.executable).name, "-c", BLIND)
    rig.first()
    release(rig, **{HOSTILE: add(rig, "late", 3)})
    half = until("it is out of memory", lambda: starved(rig))
    ends = time.monotonic() + ROUNDS_S
    while time.monotonic() < ends:
        now = starved(rig)
        assert now is not None
        assert (now.id, now.running, now.pid) == (half.id, True, half.pid)
        time.sleep(0.1)
    one = told(rig, HOSTILE)
    assert one is not None
    assert (one.state, one.reason) == ("running", "")
