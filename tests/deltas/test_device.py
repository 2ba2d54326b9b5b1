"""A device that pulls: the smallest way, from a real HTTPS registry; and every way in which a delta fails."""

import dataclasses
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.artifacts.delta import Savings
from agent.artifacts.errors import FetchError
from agent.artifacts.pull import pull_image, staged_image, sweep
from agent.artifacts.store import ContentStore
from contract import oci
from contract.delta import container
from contract.desired import ImageRef
from contract.digests import sha256
from tests.artifacts.conftest import Site, site  # noqa: F401  a fixture
from tests.artifacts.registry import tree
from tests.deltas.layers import delta_of, onnx_of, rounded, tar_of, tuned, weights

BEFORE = weights(1)
BASE = tar_of({"base": random.Random(1).randbytes(50_000)})
OLD = tar_of({"m/model.onnx": onnx_of(BEFORE), "other": b"same"})
NEW = tar_of({"m/model.onnx": onnx_of(tuned(BEFORE)), "other": b"same"})
DELTA = delta_of(OLD, NEW)[0]


def manifest_of(served: Any, ref: ImageRef) -> str:
    """Return the digest of the manifest that an index leads to."""
    return str(msgspec.json.decode(served.content[ref.digest], type=oci.Index).manifests[0].digest)


def offer(
    served: Any,
    ref: ImageRef,
    delta: bytes,
    more: dict[str, str] | None = None,
    *,
    to: bytes = NEW,
    kind: str = container.MEDIA_TYPE,
) -> str:
    """Serve a delta as a referrer of an image; return its blob's digest."""
    annotations = {
        container.FROM: sha256(OLD), container.TO: sha256(to), container.BYTES: str(len(delta))
    } | (more or {})  # fmt: skip
    blob = oci.Descriptor(mediaType=kind, digest=served.add(delta), size=len(delta))
    empty = oci.Descriptor(mediaType="application/vnd.oci.empty.v1+json", digest=served.add(b"{}"), size=2)
    manifest = msgspec.json.encode(
        oci.Manifest(
            schemaVersion=2, mediaType=oci.MANIFEST, config=empty, layers=(blob,), annotations=annotations
        )
    )
    entry = oci.Descriptor(
        mediaType=oci.MANIFEST,
        digest=served.add(manifest),
        size=len(manifest),
        artifactType=kind,
        annotations=annotations,
    )
    subject = manifest_of(served, ref)
    place = f"referrers/{subject}"
    before = served.content.get(place)
    others = msgspec.json.decode(before, type=oci.Index).manifests if before else ()
    served.content[place] = msgspec.json.encode(
        oci.Index(schemaVersion=2, mediaType=oci.INDEX, manifests=(*others, entry))
    )
    return blob.digest


@dataclasses.dataclass
class Update:
    """A device that has the old image, and a registry that has the new one."""

    site: Site
    old: ImageRef
    new: ImageRef
    savings: Savings

    @property
    def whole(self) -> str:
        """Return the digest of the new layer's blob."""
        served = self.site.served
        manifest = served.content[manifest_of(served, self.new)]
        return str(msgspec.json.decode(manifest, type=oci.Manifest).layers[-1].digest)

    def pull(self) -> Path:
        """Pull the new image; return its top layer, which must be right."""
        staged = pull_image(self.new, self.site.client, self.site.store, self.savings)
        assert tree(staged.layers[-1]) == tree(self.right())
        return staged.layers[-1]

    def right(self) -> Path:
        """Return the new layer as a device unpacks it that pulls it whole."""
        store = ContentStore(self.site.folder / "other")
        return pull_image(self.new, self.site.client, store).layers[-1]

    def pulled_whole(self) -> bool:
        """Was the whole layer sent to this device? (Pulls of `right` come after.)"""
        return self.whole in self.site.served.sent


@pytest.fixture
def update(site: Site) -> Update:  # noqa: F811
    """Return an update that waits."""
    old = site.served.add_image([BASE, OLD], site.architecture)
    pull_image(old, site.client, site.store)
    new = site.served.add_image([BASE, NEW], site.architecture)
    site.served.sent.clear()
    site.served.asked.clear()
    return Update(site, old, new, Savings())


def pulled(update: Update) -> tuple[bool, int, int]:
    """Pull; return whether the whole layer came, and how many deltas were used and given up."""
    pull_image(update.new, update.site.client, update.site.store, update.savings)
    whole, report = update.pulled_whole(), update.savings.report()
    update.pull()
    return whole, report.deltas, report.fallbacks


def test_a_delta_is_pulled_in_place_of_the_layer(update: Update) -> None:
    offer(update.site.served, update.new, DELTA)
    assert pulled(update) == (False, 1, 0)
    report = update.savings.report()
    assert report.received_bytes == len(DELTA)
    assert report.saved_bytes == len(update.site.served.content[update.whole]) - len(DELTA)
    assert len([path for path, _ in update.site.served.asked if "referrers" in path]) == 1
    assert list((update.site.folder / "content/partial").iterdir()) == []


def test_a_rounded_update_is_pulled_as_a_scaled_delta(update: Update) -> None:
    new = tar_of({"m/model.onnx": onnx_of(rounded(BEFORE, tuned(BEFORE))), "other": b"same"})
    scaled, plain = (delta_of(OLD, new, with_scaled=with_scaled) for with_scaled in (True, False))
    assert (scaled[1].kind, plain[1].kind) == ("scaled", "tensor")
    update.new = update.site.served.add_image([BASE, new], update.site.architecture)
    offer(update.site.served, update.new, plain[0], to=new)
    offer(update.site.served, update.new, scaled[0], to=new, kind=container.SCALED_MEDIA_TYPE)
    assert pulled(update) == (False, 1, 0)
    assert update.savings.report().received_bytes == len(scaled[0]) < 0.6 * len(plain[0])


def test_a_delta_of_a_type_that_is_not_known_is_left(update: Update) -> None:
    blob = offer(update.site.served, update.new, DELTA, kind="application/vnd.headland.delta.v3")
    assert pulled(update) == (True, 0, 0)
    assert blob not in update.site.served.sent


def test_what_a_delta_made_is_what_the_next_delta_is_made_from(update: Update) -> None:
    offer(update.site.served, update.new, DELTA)
    update.pull()
    third = tar_of({"m/model.onnx": onnx_of(tuned(tuned(BEFORE), 4)), "other": b"third"})
    ref = update.site.served.add_image([BASE, third], update.site.architecture)
    told = {container.FROM: sha256(NEW)}
    offer(update.site.served, ref, delta_of(NEW, third)[0], told, to=third)
    pull_image(ref, update.site.client, update.site.store, update.savings)
    assert update.savings.report().deltas == 2


def test_an_older_hub_has_no_deltas(update: Update) -> None:
    assert pulled(update) == (True, 0, 0)


def test_the_smallest_that_can_be_applied_is_chosen(update: Update) -> None:
    served = update.site.served
    unknown = offer(served, update.new, b"of a layer that is not here", {container.FROM: sha256(b"no")})
    large = offer(served, update.new, DELTA + b"larger", {container.BYTES: str(len(DELTA) + 6)})
    small = offer(served, update.new, DELTA)
    assert pulled(update) == (False, 1, 0)
    assert small in served.sent
    assert not {unknown, large} & served.sent.keys()


def test_a_delta_that_is_no_smaller_is_left(update: Update) -> None:
    blob = offer(update.site.served, update.new, DELTA, {container.BYTES: str(1 << 30)})
    assert pulled(update) == (True, 0, 0)
    assert blob not in update.site.served.sent


def test_a_layer_without_a_recipe_is_no_base(update: Update) -> None:
    """So are all that an earlier release unpacked."""
    offer(update.site.served, update.new, DELTA)
    for recipe in (update.site.folder / "content/recipes").iterdir():
        recipe.unlink()
    assert pulled(update) == (True, 0, 0)
    assert not [path for path, _ in update.site.served.asked if "referrers" in path]


@pytest.mark.parametrize("what", ["cut", "noise", "other layers", "other result", "gone", "digest", "size"])
def test_a_delta_that_is_of_no_use_gives_way_to_the_layer(what: str, update: Update) -> None:
    served = update.site.served
    delta = {
        "cut": DELTA[:-100],
        "noise": random.Random(1).randbytes(5000),
        "other layers": delta_of(BASE, NEW)[0],
        "other result": _lying(),
    }.get(what, DELTA)
    told = {container.BYTES: str(len(delta) - 1)} if what == "size" else {}
    blob = offer(served, update.new, delta, told)
    if what == "gone":
        del served.content[blob]
    if what == "digest":
        served.flipped.add(blob)
    assert pulled(update) == (True, 0, 1)
    assert sorted(path.name for path in (update.site.folder / "content/layers").iterdir()) == sorted(
        sha256(tar).removeprefix("sha256:") for tar in (BASE, OLD, NEW)
    )


def _lying() -> bytes:
    """Return a delta to another tar, with the digest of the new one in its header."""
    other = tar_of({"m/model.onnx": onnx_of(tuned(BEFORE, 77)), "other": b"same"})
    return delta_of(OLD, other)[0].replace(sha256(other).encode(), sha256(NEW).encode())


def test_a_changed_file_of_the_old_layer_is_seen_and_remembered(update: Update) -> None:
    offer(update.site.served, update.new, DELTA)
    layer = update.site.store.layer(sha256(OLD))
    assert layer is not None
    model = layer / "m/model.onnx"
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    assert pulled(update) == (True, 0, 1)
    assert update.site.store.recipe(sha256(OLD)) is None


def test_a_delta_that_is_cut_off_is_gone_on_with(update: Update) -> None:
    blob = offer(update.site.served, update.new, DELTA)
    update.site.served.cut_after[blob] = len(DELTA) // 2
    with pytest.raises(FetchError):
        pull_image(update.new, update.site.client, update.site.store, update.savings)
    assert staged_image(update.new, update.site.store) is None
    assert pulled(update) == (False, 1, 0)
    ranges = [found for path, found in update.site.served.asked if blob in path]
    assert ranges == ["", f"bytes={len(DELTA) // 2}-"]


def test_the_sweep_takes_recipes_with_their_layers(update: Update) -> None:
    offer(update.site.served, update.new, DELTA)
    update.pull()
    recipes = update.site.folder / "content/recipes"
    assert {path.name for path in recipes.iterdir()} == {
        sha256(tar).removeprefix("sha256:") for tar in (BASE, OLD, NEW)
    }
    sweep([update.new], update.site.store)
    assert {path.name for path in recipes.iterdir()} == {
        sha256(tar).removeprefix("sha256:") for tar in (BASE, NEW)
    }
    (recipes / ".unpacking-left").write_bytes(b"x")
    ContentStore(update.site.folder / "content")
    assert not (recipes / ".unpacking-left").exists()
