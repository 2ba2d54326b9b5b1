"""A hub whose images are kept in Debian's docker-registry, behind a password and TLS."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_hub.blobs.service import OCTETS
from cloud_hub.errors import BlobGoneError
from cloud_hub.image_stores.service import ImageStoreUnusableError
from cloud_hub.images.deltas.service import DELTAS
from cloud_hub.images.pushed import Pushed
from cloud_hub.oci_client.errors import RegistryDeniedError, RegistryNotFoundError
from cloud_hub.oci_client.pull import fetch_manifest
from cloud_hub.oci_client.push import has_blob
from cloud_hub.outbound.errors import OutboundRefusedError
from cloud_hub.secrets.text import SecretText
from contract import oci
from contract.delta import container
from tests.activities.waiting import until
from tests.bases.pictures import Item, Picture, digest_of, picture
from tests.image_stores.hub import BY, World, hub
from tests.oci_client.docker_registry import PASSWORD, DockerRegistry
from tests.oci_client.docker_registry import registry as registry  # noqa: PLC0414  a fixture

pytestmark = pytest.mark.system


@pytest.fixture
def at(tmp_path: Path, registry: DockerRegistry) -> Iterator[World]:
    with hub(tmp_path, registry) as world:
        yield world


@pytest.fixture(scope="module")
def made() -> Picture:
    return picture(
        [{"a": Item(bytes(range(256)) * 9000)}, {"b": Item(b"b")}], pack=bytes, layer_type=oci.LAYER_TAR
    )


def test_an_image_goes_out_and_is_pulled_through_the_hub(at: World, made: Picture, tmp_path: Path) -> None:
    at.choose()
    at.keep("shop/digits", made)
    assert at.services.image_mover.move_all() == len(made.blobs) + 2  # a second manifest is the index; a tag
    assert at.services.image_mover.move_all() == 0
    at.sweep()
    layer, data = made.layers[0], made.blobs[made.layers[0]]
    assert not at.is_here(layer)
    assert at.get(f"/v2/shop/digits/blobs/{layer}") == (200, data)
    assert at.get(f"/v2/shop/digits/blobs/{layer}", Range="bytes=1000000-1000099") == (
        206,
        data[1000000:1000100],
    )
    assert at.get("/v2/shop/digits/manifests/1") == (200, made.index)
    # People who look into the registry find it under the same name and tag.
    source = f"docker://{at.registry.name}/team/images/digits:1"
    at.registry.skopeo(
        "copy", "--preserve-digests", *at.registry.options("src"), source, f"oci:{tmp_path}/out"
    )
    index = json.loads((tmp_path / "out/index.json").read_text())
    assert index["manifests"][0]["digest"] in {made.digest, digest_of(made.index)}


def test_a_delta_is_made_of_what_went_out_before(at: World) -> None:
    """The next version's deltas are against layers that only the other registry has by then."""
    noise = random.Random(5).randbytes(200_000)
    first, second = (
        picture([{"a": Item(noise + end)}], pack=bytes, layer_type=oci.LAYER_TAR) for end in (b"1", b"2")
    )
    at.choose()
    at.keep("shop/digits", first, "edge")
    at.services.pushed_images.register("shop", Pushed(name="digits", reference="edge"), BY)
    at.services.image_mover.move_all()
    at.sweep()
    assert not at.is_here(first.layers[0])
    at.keep("shop/digits", second, "edge")
    at.services.pushed_images.register("shop", Pushed(name="digits", reference="edge"), BY)
    at.services.activities.begin()
    until(lambda: all(row.state == "completed" for row in at.services.activities.all_in("shop")))
    (row,) = at.services.activities.all_in("shop")
    assert (row.kind, (row.result or {})["made"]) == (DELTAS, 1)
    answer = at.ask(f"/v2/shop/digits/referrers/{second.digest}")
    (delta,) = answer.json()["manifests"]
    assert delta["artifactType"] == container.MEDIA_TYPE
    # It goes out with the rest, and is handed out from there.
    assert at.services.image_mover.move_all() > 0
    at.sweep()
    status, manifest = at.get(f"/v2/shop/digits/manifests/{delta['digest']}")
    assert status == 200
    blob = json.loads(manifest)["layers"][0]
    status, data = at.get(f"/v2/shop/digits/blobs/{blob['digest']}")
    assert (status, len(data)) == (200, blob["size"])
    assert len(data) < 2_000


def test_a_hub_without_an_image_store_keeps_all(at: World, made: Picture) -> None:
    """Negative control of the above."""
    at.keep("shop/digits", made)
    assert at.services.image_mover.move_all() == 0
    at.sweep()
    assert at.is_here(made.layers[0])


def test_what_another_workspace_links_stays_here(at: World, made: Picture) -> None:
    at.choose()
    at.keep("shop/digits", made)
    at.keep("lab/digits", made)
    at.services.image_mover.move_all()
    at.sweep()
    assert at.is_here(made.layers[0])
    assert at.get(f"/v2/shop/digits/blobs/{made.layers[0]}")[0] == 200


def test_a_blob_outside_is_no_other_workspaces(at: World, made: Picture) -> None:
    """Who knows its digest has it not: neither to read nor to link."""
    at.choose()
    at.keep("shop/digits", made)
    at.services.image_mover.move_all()
    at.sweep()
    layer = made.layers[0]
    with at.core.database.transaction() as session, pytest.raises(BlobGoneError):
        at.services.blobs.link(session, "lab/digits", layer, 10, OCTETS)
    with at.core.database.transaction() as session:
        at.services.blobs.link(session, "shop/letters", layer, len(made.blobs[layer]), OCTETS)
    assert at.get(f"/v2/shop/letters/blobs/{layer}") == (200, made.blobs[layer])
    # The store gets its own copy of it in that repository, by a mount.
    assert at.services.image_mover.move_all() == 1
    assert has_blob(at.registry.requests(), "team/images/letters", layer)


def test_a_registry_that_is_down_delays_and_is_told(at: World, made: Picture) -> None:
    at.choose(path="down")
    at.registry.stop()
    try:
        at.keep("shop/digits", made)
        assert at.services.image_mover.move_all() == 0
        state = at.services.image_stores.state("shop")
        assert (state.problem_code, state.pending_blobs) == ("outbound-failed", 3)
        assert at.get(f"/v2/shop/digits/blobs/{made.layers[0]}")[0] == 200
        shown = at.ask("/api/v1/workspaces/shop/image-store").json()
        assert shown["problem_code"] == "outbound-failed"
    finally:
        at.registry.start()
    assert at.services.image_mover.move_all() > 0
    state = at.services.image_stores.state("shop")
    assert (state.problem_code, state.pending_blobs) == (None, 0)
    at.sweep()
    at.registry.stop()
    try:
        status, body = at.get(f"/v2/shop/digits/blobs/{made.layers[0]}")
        assert status == 502, body
    finally:
        at.registry.start()


def test_a_deleted_image_is_deleted_there(at: World, made: Picture) -> None:
    at.choose(path="deleted")
    at.keep("shop/digits", made)
    at.services.image_mover.move_all()
    with at.core.database.transaction() as session:
        at.services.registry.forget_image(session, "shop/digits", digest_of(made.index))
    at.services.image_mover.move_all()
    with pytest.raises(RegistryNotFoundError):
        fetch_manifest(at.registry.requests(), "deleted/digits", made.digest)


def test_going_back_to_the_hub_leaves_what_is_outside_readable(at: World, made: Picture) -> None:
    at.choose(path="back")
    at.keep("shop/digits", made)
    at.services.image_mover.move_all()
    assert at.services.image_stores.choose("shop", "hub:", None, BY).url == "hub:"
    second = picture([{"c": Item(b"c" * 5000)}])
    at.keep("shop/digits", second, "2")
    assert at.services.image_mover.move_all() == 0
    at.sweep()
    assert at.get(f"/v2/shop/digits/blobs/{made.layers[0]}")[0] == 200
    assert at.get(f"/v2/shop/digits/blobs/{second.layers[0]}")[0] == 200


def test_another_registry_gets_everything(at: World, made: Picture) -> None:
    at.choose(path="first")
    at.keep("shop/digits", made)
    at.services.image_mover.move_all()
    at.sweep()
    at.choose(path="second")
    at.services.image_mover.move_all()
    assert has_blob(at.registry.requests(), "second/digits", made.layers[0])
    assert at.services.image_stores.state("shop").pending_blobs == 0


def test_a_store_that_is_not_up_is_refused_and_nothing_is_changed(at: World) -> None:
    before = at.services.image_stores.state("shop").url
    at.registry.stop()
    try:
        with pytest.raises(ImageStoreUnusableError):
            at.services.image_stores.choose("shop", f"https://{at.registry.name}/x", None, BY)
    finally:
        at.registry.start()
    assert at.services.image_stores.state("shop").url == before


def test_a_store_that_does_not_let_in_is_refused(at: World) -> None:
    at.services.secrets.write("shop", "wrong", SecretText("ana:wrong"), BY)
    for url, kind in [
        (f"https://{at.registry.name}/x", RegistryDeniedError),
        ("https://127.0.0.2:5000/x", OutboundRefusedError),
        ("https://169.254.169.254/x", OutboundRefusedError),
    ]:
        with pytest.raises(kind):
            at.services.image_stores.choose("shop", url, "wrong", BY)
    assert at.services.image_stores.state("shop").url == "hub:"


def test_the_secret_is_nowhere_but_in_the_vault(at: World, made: Picture, tmp_path: Path) -> None:
    at.choose(path="secret")
    at.keep("shop/digits", made)
    at.services.image_mover.move_all()
    shown = at.ask("/api/v1/workspaces/shop").text
    assert '"secret":"registry"' in shown.replace(" ", "")
    assert PASSWORD not in shown
    at.core.database.close()
    for file in (tmp_path / "hub").rglob("*"):
        if file.is_file():
            assert PASSWORD.encode() not in file.read_bytes(), file
