"""FAULTS 11: a bad release goes back by itself, without a hub, and its generation is not tried again.

The judge looks at processes and sockets: exactly the set that last passed runs and serves, no later than the
time that a version has to become ready and ten seconds more; the report then says why.
"""

import io
import itertools
import os
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from msgspec.structs import replace

from agent.drivers.port import DriverError
from agent.endpoints.control import hand_over
from contract.desired import ImageRef
from contract.lifecycle import Lifecycle, Update
from contract.oci import architecture_of
from tests.drivers.rig import runc_is_missing
from tests.faults.images import compiled
from tests.faults.rig import MODULES, POLL_S, FaultFoundError, Rig
from tests.faults.summary import Summary

pytestmark = pytest.mark.system
KINDS = ("exits", "hangs", "never-healthy", "breaks-the-network")
# The old image is gone where its disk had no room for two: going back is then a pull.
UPDATES = tuple(update for update in get_args(Update) if update != "delete-first")
GOOD, BAD = 1, 9
READY_S = 1.5
WITHIN_S = READY_S + 10
LOOKED_AT_AGAIN_S = 2.0
SOAK_RELEASES = 20
PROGRAM = r"""
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int count, char **words) {
  if (count < 2 || !strcmp(words[1], "exits")) return 3;
  if (!strcmp(words[1], "hangs")) {
    signal(SIGTERM, SIG_IGN);
    for (;;) pause();
  }
  /* It answers, and never says that it is ready. */
  signal(SIGPIPE, SIG_IGN);
  for (;;) {
    int client = accept(3, NULL, NULL);
    if (client >= 0 && write(client, "9\n", 2) < 0) continue;
    close(client);
  }
}
"""


def layer(files: dict[str, tuple[bytes, int]]) -> bytes:
    """Return a layer of files, each with its mode."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, (data, mode) in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), mode
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def add_bad(rig: Rig, kind: str) -> ImageRef:
    """Serve an image that is bad in this way."""
    files = layer({"bin/x": (compiled(PROGRAM), 0o755), "version": (b"%d\n" % BAD, 0o644)})
    machine = architecture_of(os.uname().machine)
    return rig.registry.add_image([files], machine, args=("/bin/x", kind), name=f"m:{kind}")


@pytest.fixture
def rig(folder: Path, request: pytest.FixtureRequest) -> Iterator[Rig]:
    """A device that runs its first document."""
    kind = getattr(request, "param", "process")
    if reason := runc_is_missing() if kind == "runc" else "":
        pytest.skip(reason)
    rig = Rig(folder, kind)
    try:
        rig.first(GOOD)
        yield rig
    finally:
        rig.close()


def release(rig: Rig, image: ImageRef, update: Update) -> int:
    """Give the device a document with another image for its first module; return the generation."""
    stored = rig.stored()
    assert stored is not None
    modules = [module for module in stored.modules if module.name != MODULES[0]]
    first = next(module for module in stored.modules if module.name == MODULES[0])
    modules.append(replace(first, image=image, ready_timeout_s=READY_S, lifecycle=Lifecycle(update=update)))
    generation = stored.generation + 1
    applied = hand_over(rig.state, rig.device.document(generation, *modules))
    assert applied.accepted
    return generation


def went_back(rig: Rig, generation: int, *, breaks_network: bool, within_s: float = WITHIN_S) -> float:
    """Return after how long the set that last passed runs again, and the report says so.

    With ``breaks_network`` nothing can be had from elsewhere from when the bad version runs, and nothing
    was asked for. Raises `FaultFoundError` where that is not so in time.
    """
    began, asked, reason = time.monotonic(), None, ""
    while True:
        running = seen(rig)
        if breaks_network and asked is None and BAD in running.get(MODULES[0], []):
            rig.registry.status = dict.fromkeys(rig.registry.content, 503)
            asked = len(rig.registry.asked)
        report = rig.reported()
        if report is not None and report.generation == generation:
            reason = next((m.reason for m in report.modules if m.state == "rolled_back"), "")
        as_before = running == {name: [GOOD] for name in MODULES}
        if reason and as_before and all(rig.served(name) == GOOD for name in MODULES):
            break
        if time.monotonic() - began > within_s:
            raise FaultFoundError(
                f"{running} runs after {within_s} s, reason {reason!r}\n{rig.daemon.log[-4000:]}"
            )
        time.sleep(POLL_S)
    if breaks_network and asked != len(rig.registry.asked):
        raise FaultFoundError(f"it asked for {rig.registry.asked[asked or 0 :]}" if asked else "it never ran")
    rig.registry.status = {}
    return time.monotonic() - began


def seen(rig: Rig) -> dict[str, list[int]]:
    """Return what runs; nothing where it was looked at in the middle of a change."""
    try:
        return rig.running()
    except DriverError:
        return {}


def tries(rig: Rig, image: ImageRef) -> int:
    """Return how often the agent started an image since its own start."""
    return rig.daemon.log.count(f"started {image.name} ")


def not_tried_again(rig: Rig, image: ImageRef, *, before: int, restart: bool) -> None:
    """The version was tried once more than ``before``; it is left alone when its document comes again.

    With ``restart`` the agent is killed between, and starts again.
    """
    tried = tries(rig, image)
    if tried != before + 1:
        raise FaultFoundError(f"{image.name} was started {tried - before} times\n{rig.daemon.log[-4000:]}")
    if restart:
        rig.daemon.kill()
        rig.start()
        tried = 0
    stored = rig.stored()
    assert stored is not None
    again = hand_over(rig.state, rig.device.document(stored.generation, *stored.modules))
    assert not again.accepted
    ends = time.monotonic() + LOOKED_AT_AGAIN_S
    while time.monotonic() < ends:
        if BAD in seen(rig).get(MODULES[0], []) or tries(rig, image) != tried:
            raise FaultFoundError(f"{image.name} was tried again\n{rig.daemon.log[-4000:]}")
        time.sleep(POLL_S)


def tried_and_gone_back(rig: Rig, kind: str, update: Update, *, restart: bool) -> float:
    """Release what is bad in this way; return after how long all was well."""
    image = add_bad(rig, kind)
    before = tries(rig, image)
    generation = release(rig, image, update)
    seconds = went_back(rig, generation, breaks_network=kind == "breaks-the-network")
    not_tried_again(rig, image, before=before, restart=restart)
    return seconds


@pytest.mark.timeout(180)
def test_each_kind_of_bad_release_goes_back(rig: Rig) -> None:
    for number, kind in enumerate(KINDS):
        tried_and_gone_back(rig, kind, UPDATES[number % 2], restart=kind == "hangs")


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("rig", ["process", "runc"], indirect=True)
def test_twenty_bad_releases_in_a_row_go_back(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    summary = Summary(f"bad releases that went back, {rig.kind}")
    ways = itertools.cycle(itertools.product(KINDS, UPDATES))
    for number, (kind, update) in zip(range(SOAK_RELEASES), ways, strict=False):
        summary.add(f"{kind}, {update}", tried_and_gone_back(rig, kind, update, restart=number % 3 == 0))
    summary.show(capsys)
    assert summary.total == SOAK_RELEASES


def test_negative_control_a_device_that_stays_on_a_release_is_seen(rig: Rig) -> None:
    generation = release(rig, rig.images[2], "hand-over")
    with pytest.raises(FaultFoundError, match=r"\[2\]"):
        went_back(rig, generation, breaks_network=False, within_s=3)


def test_negative_control_a_version_that_is_tried_twice_is_seen(rig: Rig) -> None:
    image = add_bad(rig, "exits")
    generation = release(rig, image, "hand-over")
    went_back(rig, generation, breaks_network=False)
    release(rig, image, "hand-over")  # the next generation: a new try, which is what it is for
    went_back(rig, generation + 1, breaks_network=False)
    with pytest.raises(FaultFoundError, match="started 2 times"):
        not_tried_again(rig, image, before=0, restart=False)
