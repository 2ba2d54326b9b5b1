"""FAULTS 2: the power of the agent's disk is cut during updates and pulls.

After a cut nothing runs, and the machine has another boot id. What was acknowledged, documents and samples,
is there; the content store shows nothing that is not whole; and the stored document's set comes up again.
"""

import os
import random
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulators.disk import Disk, FileSystem, why_not
from tests.faults.conftest import IN_OWN_MOUNTS
from tests.faults.fsck import store_faults
from tests.faults.handover import Hand
from tests.faults.images import layers_of
from tests.faults.rig import SETTLES_WITHIN_S, FaultFoundError, Rig
from tests.faults.summary import Summary
from tests.power.writers import standing_still

pytestmark = pytest.mark.system
OWN_MOUNTS = True
CUTS, SOAK_CUTS = 2, 200
LONGEST_WORK_S = 1.0
CONTROL_CUTS = 5
WITHOUT_SYNCS = "test_negative_control_without_syncs"
BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Site:
    """A device whose state is on a disk that can lose its power."""

    def __init__(self, folder: Path, file_system: FileSystem, *, without_sync: bool = False) -> None:
        self.disk = Disk(folder, file_system)
        (folder / "d").mkdir()
        (self.disk.root / "state").mkdir()
        (folder / "d/state").symlink_to(self.disk.root / "state")
        self.boot = folder / "boot_id"
        self.rig = Rig(folder)
        self._preload = ("eatmydata",) if without_sync else ()
        self.boot_anew()
        self.hand = Hand(self.rig.state)
        self.layers = layers_of(self.rig.registry)

    def boot_anew(self) -> None:
        """Give the machine, as its agent sees it, another life."""
        self.boot.write_text(f"{uuid.uuid4()}\n")
        script = f'mount --bind "$0" {BOOT_ID} && exec "$@"'
        self.rig.with_prefix("/usr/bin/unshare", "-m", "sh", "-c", script, str(self.boot), *self._preload)

    def work(self, seconds: float) -> None:
        """Update and hand over for so long, then cut the power, wherever that is."""
        rig = self.rig
        given = threading.Thread(target=rig.apply, args=rig.next())
        given.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.hand.give()
            time.sleep(0.01)
        with standing_still(rig.daemon.pid):
            self.disk.cut()
        given.join()
        rig.kill_everything()
        self.disk.unmount()
        self.disk.mount()

    def judge(self) -> float:
        """Say what is wrong, before the agent starts and once it runs; return how long it took to be well."""
        found = store_faults(self.rig.state / "content", self.layers) + self.hand.faults()
        if found:
            raise FaultFoundError("; ".join(found))
        self.boot_anew()
        self.rig.start()
        seconds = self.rig.settled().seconds
        if left := self.rig.left_in_driver():
            raise FaultFoundError(f"{left} is known to the driver alone")
        return seconds

    def close(self) -> None:
        """Leave nothing."""
        try:
            self.rig.kill_everything()
            self.rig.close()
        finally:
            self.disk.unmount()


@pytest.fixture
def file_system(request: pytest.FixtureRequest) -> FileSystem:
    """Which one."""
    kind: FileSystem = getattr(request, "param", "ext4")
    return kind


@pytest.fixture
def site(folder: Path, file_system: FileSystem, request: pytest.FixtureRequest) -> Iterator[Site | None]:
    """A device that runs its first document, on a disk that has all of it."""
    if reason := why_not(file_system) or ("" if shutil.which("eatmydata") else "eatmydata is missing"):
        pytest.skip(reason)
    if IN_OWN_MOUNTS not in os.environ:
        yield None  # the test runs in another process
        return
    site = Site(folder, file_system, without_sync=request.node.name.startswith(WITHOUT_SYNCS))
    try:
        site.rig.first()
        site.disk.sync()
        yield site
    finally:
        site.close()


def run(site: Site, cuts: int, summary: Summary) -> None:
    moments = random.Random(2)
    for number in range(cuts):
        before = site.rig.stored()
        seconds = moments.uniform(0.0, LONGEST_WORK_S)
        site.work(seconds)
        try:
            took = site.judge()
        except FaultFoundError as found:
            raise FaultFoundError(f"cut {number} after {seconds:.3f} s: {found}") from found
        after = site.rig.stored()
        kept = before is not None and after is not None and before.generation == after.generation
        summary.add(f"the {'old' if kept else 'new'} set runs, the store is whole", took)
    summary.notes.append(f"samples acknowledged, all there: {site.hand.taken}")


def test_after_a_power_cut_the_old_or_the_new_set_runs(site: Site) -> None:
    summary = Summary("power cuts")
    run(site, CUTS, summary)
    assert summary.total == CUTS
    assert site.hand.taken > 0


@pytest.mark.soak
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("file_system", ["ext4", "xfs"], indirect=True)
def test_after_200_power_cuts(site: Site, file_system: str, capsys: pytest.CaptureFixture[str]) -> None:
    summary = Summary(f"{file_system}: power cuts during updates and pulls")
    run(site, SOAK_CUTS, summary)
    summary.show(capsys)
    assert summary.longest_s < SETTLES_WITHIN_S


def test_negative_control_without_syncs_it_is_seen(site: Site) -> None:
    """The same agent, whose syncs do nothing, does not pass."""
    with pytest.raises(FaultFoundError):
        run(site, CONTROL_CUTS, Summary("without syncs"))


def test_negative_control_a_changed_byte_in_the_store_is_seen(site: Site) -> None:
    content = site.rig.state / "content"
    assert store_faults(content, site.layers) == []
    victim = next((content / "layers").glob("*/payload"))
    victim.write_bytes(b"!" + victim.read_bytes()[1:])
    blob = next((content / "blobs/sha256").iterdir())
    blob.write_bytes(blob.read_bytes() + b" ")
    assert len(store_faults(content, site.layers)) == 2
