"""Whatever is pulled, swept and crowded out, in any order: what is needed is whole (a property)."""

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from agent.artifacts.pull import digests_of, staged_image, sweep
from agent.artifacts.room import Reserve, Room
from agent.artifacts.store import ContentStore
from agent.neighbours.shelf import FolderShelf
from contract import oci
from contract.desired import ImageRef
from contract.digests import hex_of, sha256
from contract.oci import architecture_of
from tests.artifacts.registry import Registry, make_tar

LAYERS = [make_tar({f"file{number}": bytes([number]) * 10}) for number in range(5)]
IMAGES = ((0,), (0, 1), (0, 1, 2), (3, 1), (4,), (3, 4, 0))
NUMBERS = st.integers(0, len(IMAGES) - 1)
SHELF_BYTES = 400


class Keeping(RuleBasedStateMachine):
    """A store whose layers come without a network; ``needed`` is what runs and what last passed."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="hl-k-"))
        self.made = Registry()
        machine = architecture_of(os.uname().machine)
        self.refs = [
            self.made.add_image([LAYERS[n] for n in numbers], machine, args=("/bin/x", str(i)))
            for i, numbers in enumerate(IMAGES)
        ]
        self.needed: set[int] = set()
        self.open()

    def open(self) -> None:
        """Start on what is on the disk."""
        self.store = ContentStore(self.folder / "content")
        self.shelf = FolderShelf(self.folder / "content/shelf", SHELF_BYTES, Room(self.folder, Reserve()))
        self.store.shelf = self.shelf

    @rule(number=NUMBERS, half=st.booleans())
    def bring(self, number: int, half: bool) -> None:
        """An image comes here, or half of it, and is needed only when it is whole."""
        for digest in digests_in(self.made, self.refs[number]):
            self.store.save_blob(digest, self.made.content[digest])
        wanted = IMAGES[number][: 1 if half else None]
        for layer in (LAYERS[n] for n in wanted):
            if self.store.layer(sha256(layer)) is None:
                with self.store.new_layer(sha256(layer)) as folder:
                    (folder / "content").write_bytes(layer)
                partial = self.store.partial_file(sha256(b"packed" + layer))
                partial.write_bytes(layer[:150])
                self.store.shelf.put(partial)
        if staged_image(self.refs[number], self.store) is not None:
            self.needed.add(number)

    @rule(number=NUMBERS)
    def need_no_more(self, number: int) -> None:
        """Another version passed."""
        self.needed.discard(number)

    @rule()
    def sweep(self) -> None:
        """Nothing is on its way: all that is not needed goes."""
        sweep(self.kept(), self.store)
        layers = {sha256(LAYERS[n]) for number in self.needed for n in IMAGES[number]}
        there = {path.name for path in (self.folder / "content/layers").iterdir()}
        assert there == {hex_of(digest) for digest in layers}

    @rule()
    def make_room(self) -> None:
        """The disk is short of room."""
        self.store.make_room({each for ref in self.kept() for each in digests_of(ref, self.store)})

    @rule()
    def crowd_out(self) -> None:
        """Samples and logs take the disk: what is kept for neighbours goes."""
        self.shelf.make_way(1 << 60)
        assert self.shelf.size_bytes() == 0

    @rule()
    def restart(self) -> None:
        """The agent is killed."""
        self.open()

    @invariant()
    def what_is_needed_is_whole(self) -> None:
        """Each layer of each image that is needed is here, with its bytes."""
        for number in self.needed:
            staged = staged_image(self.refs[number], self.store)
            assert staged is not None, f"image {number} is gone"
            for place, n in zip(staged.layers, IMAGES[number], strict=True):
                assert (place / "content").read_bytes() == LAYERS[n]

    @invariant()
    def the_shelf_keeps_its_bound(self) -> None:
        """Nothing is kept beyond it."""
        assert self.shelf.size_bytes() <= SHELF_BYTES

    def kept(self) -> list[ImageRef]:
        """Return what the agent says is needed; the negative control forgets one."""
        return [self.refs[number] for number in sorted(self.needed)]

    def teardown(self) -> None:
        """Leave nothing."""
        shutil.rmtree(self.folder)


class Forgetful(Keeping):
    """The negative control: who sweeps without the image that last passed."""

    def kept(self) -> list[ImageRef]:
        """Forget the first."""
        return super().kept()[1:]


def digests_in(made: Registry, ref: ImageRef) -> Iterable[str]:
    """Return the index, the manifest and the configuration of an image."""
    index = msgspec.json.decode(made.content[ref.digest], type=oci.Index)
    manifest = msgspec.json.decode(made.content[index.manifests[0].digest], type=oci.Manifest)
    return ref.digest, index.manifests[0].digest, manifest.config.digest


def run(kind: type[Keeping], examples: int) -> None:
    run_state_machine_as_test(
        kind,
        settings=settings(
            max_examples=examples, stateful_step_count=25, deadline=None, report_multiple_bugs=False
        ),
    )


def test_what_is_needed_is_always_whole() -> None:
    run(Keeping, 25)


def test_negative_control_who_forgets_what_last_passed_is_found() -> None:
    with pytest.raises(AssertionError, match=r"gone|=="):
        run(Forgetful, 100)
