"""Deltas beside other sources: a layer from nearby goes before a delta, and deltas are the hub's alone."""

from pathlib import Path

import pytest

from agent.artifacts.errors import FetchRefusedError
from agent.artifacts.folder import FolderSource
from agent.artifacts.pull import pull_image
from agent.artifacts.sources import Nearby, Sources
from contract import oci
from contract.digests import hex_of
from tests.artifacts.conftest import site  # noqa: F401  a fixture
from tests.deltas.test_device import DELTA, Update, offer, update  # noqa: F401  a fixture


class Recording(FolderSource):
    """A folder that remembers what it was asked for."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.asked: set[str] = set()

    def manifest(self, repository: str, digest: str) -> bytes:
        self.asked.add(digest)
        return super().manifest(repository, digest)

    def blob(self, repository: str, descriptor: oci.Descriptor, target: Path) -> int:
        self.asked.add(descriptor.digest)
        return super().blob(repository, descriptor, target)


@pytest.mark.parametrize("nearby_has_it", [True, False])
def test_a_delta_is_taken_only_where_nobody_nearby_has_the_layer(
    update: Update,  # noqa: F811
    nearby_has_it: bool,
) -> None:
    served = update.site.served
    delta = offer(served, update.new, DELTA)
    folder = update.site.folder / "stick"
    (folder / "blobs/sha256").mkdir(parents=True)
    if nearby_has_it:
        (folder / "blobs/sha256" / hex_of(update.whole)).write_bytes(served.content[update.whole])
    stick = Recording(folder)
    sources = Sources(update.site.client, [Nearby("stick", stick)], update.savings)
    pull_image(update.new, sources, update.site.store, update.savings)
    assert update.savings.report().deltas == (0 if nearby_has_it else 1)
    assert (delta in served.sent) is not nearby_has_it
    assert not update.pulled_whole()
    # What the hub alone was asked for: the delta, and what leads to it.
    assert update.whole in stick.asked
    others = {path.rpartition("/")[2] for path, _ in served.asked if "referrers" not in path}
    assert {delta, *others} - stick.asked or nearby_has_it
    assert delta not in stick.asked


def test_the_control_a_folder_without_anything_refuses(tmp_path: Path) -> None:
    with pytest.raises(FetchRefusedError):
        Recording(tmp_path).manifest("w/m", "sha256:" + "1" * 64)
