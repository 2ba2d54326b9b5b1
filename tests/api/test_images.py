"""The image registry over HTTPS, with the SDK as its client: register, find, tag, look into."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cloud_hub.db.pages import ORDERS
from cloud_hub.sdk import Workspace
from contract import oci
from contract.digests import sha256
from tests.api.conftest import World, bearer
from tests.api.images import (
    REPOSITORY,
    SBOM,
    SPDX,
    attach,
    config,
    names,
    of_platform,
    of_platforms,
    push,
    refused,
)
from tests.hub.test_models import as_bytes, onnx_model
from tests.registry.content import Content, image, index


@pytest.fixture
def models(shop: Workspace, tmp_path: Path) -> list[str]:
    path = tmp_path / "scale.onnx"
    path.write_bytes(as_bytes(onnx_model()))
    return [f"{one.name}:{one.version}" for one in (shop.register_model(n, path) for n in ("scale", "other"))]


def test_what_was_pushed_becomes_a_version_with_all_that_is_in_it(
    world: World, shop: Workspace, models: list[str]
) -> None:
    pushed = of_platforms(b"shared layer")
    digest = push(world.services, REPOSITORY, *pushed, tags=("edge",))
    attach(world.services, REPOSITORY, pushed[0], SBOM, SPDX)
    made = shop.register_image(
        "digits", "edge", models=["scale:1", "other"], tags={"stage": "test"}, description="from a tool"
    )
    assert made == shop.image("digits") == shop.image("digits:1")
    assert (made.version, made.digest, made.kind, made.compression) == (1, digest, "pushed", "gzip")
    assert (made.models, made.model) == (["other:1", "scale:1"], "other:1")
    assert (made.tags, made.description, made.created_by) == ({"stage": "test"}, "from a tool", "ana")
    assert [one.platform for one in made.platforms] == ["linux/amd64", "linux/arm64"]
    assert [one.digest for one in made.platforms] == [one.digest for one in pushed[:2]]
    first = made.platforms[0]
    assert [(one.digest, one.diff_id, one.size_bytes) for one in first.layers] == [
        (sha256(layer), sha256(layer[::-1]), len(layer)) for layer in (b"shared layer", b"only amd64")
    ]
    whole = {one: len(data) for content in pushed for one, data in content.blobs.items()}
    assert made.size_bytes == sum(whole.values()) + sum(len(content.data) for content in pushed)
    assert first.size_bytes == len(pushed[0].data) + sum(map(len, pushed[0].blobs.values()))
    assert shop.image_packages("digits:1") == ["numpy==2.1.0", "pillow==11.0.0"]
    assert world.services.registry.manifest(REPOSITORY, "1").digest == digest, "the version is a tag"
    by_digest = shop.register_image("digits", pushed[1].digest)
    assert by_digest.version == 2
    assert [one.platform for one in by_digest.platforms] == ["linux/arm64"]
    assert by_digest.models == []
    assert shop.model_lineage("scale:1").images == ["digits:1"]
    assert refused(shop.delete_model, "scale:1").code == "model-in-use"
    assert shop.overview().counts["images"] == 2


def broken() -> dict[str, list[Content]]:
    """Return what is no image that a device can run, by why."""
    layer = b"a layer"
    good = of_platform("amd64", layer)
    lying = json.loads(good.data)
    lying["layers"][0]["size"] += 1
    docker = json.loads(good.data)
    docker["config"]["mediaType"] = "application/vnd.docker.container.image.v1+json"
    typed = json.loads(good.data)
    typed["layers"][0]["mediaType"] = "application/octet-stream"
    silent = json.loads(good.data)
    del silent["mediaType"]
    other = good.descriptor | {"platform": {"architecture": "arm64", "os": "linux"}}

    def again(document: dict[str, Any]) -> list[Content]:
        return [Content(json.dumps(document).encode(), oci.MANIFEST, good.blobs)]

    return {
        "bytes": again(lying),
        "no image": again(docker),
        "no OCI layer": again(typed),
        "mediaType|no OCI image": again(silent),
        "number of layers": [image(layer, config=config("amd64"))],
        "no OCI image's": [image(layer, config=b"{}")],
        "the index says linux/arm64": [good, index(good, manifests=[other])],
        "no image of any platform": [good, index(good)],
    }


def test_what_no_device_could_run_is_not_registered(world: World, shop: Workspace) -> None:
    for reason, contents in broken().items():
        push(world.services, REPOSITORY, *contents, tags=("edge",))
        error = refused(shop.register_image, "digits", "edge")
        assert error.code == "image-refused", reason
        assert any(words in error.what for words in reason.split("|")), (reason, error.what)
    assert shop.images() == []
    push(world.services, REPOSITORY, of_platform("amd64", b"a layer"), tags=("edge",))
    assert shop.register_image("digits", "edge").version == 1, "a refusal takes no number"


def test_all_of_an_image_must_be_there(world: World, shop: Workspace) -> None:
    pushed = of_platforms(b"shared layer")
    push(world.services, REPOSITORY, *pushed, tags=("edge",))
    with world.core.database.transaction() as session:
        world.services.blobs.unlink(session, REPOSITORY, sha256(b"only arm64"))
    error = refused(shop.register_image, "digits", "edge")
    assert (error.code, error.where) == ("image-refused", sha256(b"only arm64"))
    push(world.services, "shop/other", *pushed)
    assert refused(shop.register_image, "digits", "edge").code == "image-refused", "another has it"
    assert refused(shop.register_image, "digits", "nothing").code == "manifest-unknown"
    assert refused(shop.register_image, "digits", "edge", models=["none:1"]).code in {
        "not-found",
        "image-refused",
    }


def test_images_are_found_by_all_that_is_known_of_them(
    world: World, shop: Workspace, models: list[str]
) -> None:
    both = of_platforms(b"shared")
    push(world.services, REPOSITORY, *both, tags=("a",))
    attach(world.services, REPOSITORY, both[-1], SBOM, SPDX)
    annotated = of_platform("arm64", b"titled layer")
    titled = json.loads(annotated.data)
    titled["annotations"] = {"org.opencontainers.image.base.name": "docker.io/library/debian:13"}
    titled["layers"][0]["annotations"] = {"org.opencontainers.image.title": "wheel numpy"}
    single = Content(json.dumps(titled).encode(), oci.MANIFEST, annotated.blobs)
    push(world.services, "shop/meter", single, tags=("a",))
    shop.register_image("digits", "a", models=["scale:1"], tags={"stage": "prod"})
    shop.register_image("digits", "a", tags={"stage": "test"})
    now = datetime.now(UTC)
    meter = shop.register_image("meter", "a", models=["scale:1", "other:1"])
    first, second = ["digits:1"], ["digits:1", "digits:2"]
    everything = [*second, "meter:1"]
    searches: list[tuple[list[str], dict[str, Any]]] = [
        (everything, {}),
        (second, {"name": "digits"}),
        (["meter:1"], {"name": "m?t*"}),
        ([], {"name": "dig"}),
        (first, {"tags": ["stage=prod"]}),
        (second, {"tags": ["stage"]}),
        ([], {"tags": ["stage=prod", "stage=test"]}),
        (["digits:1", "meter:1"], {"model": "scale:1"}),
        (["digits:1", "meter:1"], {"model": "scale"}),
        (["meter:1"], {"model": "oth*"}),
        ([], {"model": "scale:2"}),
        ([], {"model": "scale:x"}),
        (second, {"platform": "linux/amd64"}),
        (everything, {"platform": "linux/arm64"}),
        ([], {"platform": "linux"}),
        (second, {"digest": both[-1].digest}),
        (second, {"digest": both[0].digest}),
        (["meter:1"], {"digest": sha256(b"titled layer")}),
        (["meter:1"], {"digest": sha256(b"titled layer"[::-1])}),
        ([], {"digest": sha256(b"nothing")}),
        (second, {"package": "numpy"}),
        (second, {"package": "numpy==2.1.0"}),
        ([], {"package": "numpy==2.1"}),
        ([], {"package": "num"}),
        (["meter:1"], {"layer": "wheel *"}),
        ([], {"log": "x"}),
        ([], {"base": "host"}),
        (["meter:1"], {"base": "docker.io/*"}),
        (everything, {"kind": "pushed"}),
        (["meter:1"], {"max_bytes": meter.size_bytes}),
        (second, {"min_bytes": meter.size_bytes + 1}),
        (everything, {"created_by": "ana"}),
        ([], {"created_by": "zoe"}),
        (["meter:1"], {"created_after": now}),
        (second, {"created_before": now}),
        ([], {"created_after": datetime.now(UTC) + timedelta(hours=1)}),
        (["digits:2", "meter:1"], {"latest": True}),
        (first, {"latest": True, "tags": ["stage=prod"]}),
        (everything[::-1], {"order": "-name"}),
        (everything[::-1], {"order": "-created"}),
        (everything[:2], {"limit": 2, "order": "created"}),
    ]
    for found, query in searches:
        assert names(shop.images(**query)) == found, query


def test_pages_follow_each_other_in_every_order(world: World, shop: Workspace) -> None:
    push(world.services, REPOSITORY, of_platform("amd64", b"layer"), tags=("a",))
    for _ in range(5):
        shop.register_image("digits", "a")
    path, headers = "/api/v1/workspaces/shop/images", bearer(world.admin_token)
    for order in ORDERS:
        seen: list[str] = []
        query: dict[str, str | int] = {"order": order, "limit": 2}
        while True:
            page = world.client.get(path, params=query, headers=headers).json()
            seen += [f"{one['name']}:{one['version']}" for one in page["items"]]
            if page["next"] is None:
                break
            query["cursor"] = page["next"]
        assert seen == names(shop.images(order=order)), order
        assert len(seen) == 5
    wrong = world.client.get(path, params={"cursor": "x"}, headers=headers)
    assert wrong.status_code == 422
    other = world.client.get(path, params={**query, "order": "created"}, headers=headers)
    assert other.json()["code"] == "invalid-input", "a cursor is of one order"


def test_tags_and_description_change_and_nothing_else_does(world: World, shop: Workspace) -> None:
    push(world.services, REPOSITORY, of_platform("amd64", b"layer"), tags=("a",))
    before = shop.register_image("digits", "a", tags={"stage": "test", "line": "7"})
    after = shop.change_image("digits:1", tags={"stage": "prod", "line": None}, description="good")
    assert (after.tags, after.description) == ({"stage": "prod"}, "good")
    assert (after.digest, after.created_at) == (before.digest, before.created_at)
    assert shop.image("digits:1") == after
    error = refused(shop.change_image, "digits:1", tags={"a=b": "c"})
    assert error.code == "invalid-input"
    assert refused(shop.change_image, "digits:2", tags={}).code == "not-found"
    assert shop.image("digits:1").tags == {"stage": "prod"}


def test_what_is_attached_is_read_by_kind_and_platform(world: World, shop: Workspace) -> None:
    pushed = of_platforms(b"shared")
    push(world.services, REPOSITORY, *pushed, tags=("a",))
    attach(world.services, REPOSITORY, pushed[0], b'{"packages": []}', SPDX)
    attach(world.services, REPOSITORY, pushed[1], SBOM, SPDX)
    attach(world.services, REPOSITORY, pushed[-1], b"built", "application/vnd.headland.build-log.v1")
    attach(world.services, REPOSITORY, pushed[-1], b"signed", "application/vnd.of.others")
    shop.register_image("digits", "a")
    assert {(one.what, one.platform, one.size_bytes) for one in shop.image_attached("digits")} == {
        ("log", "", 5), ("", "", 6), ("sbom", "linux/amd64", 16), ("sbom", "linux/arm64", len(SBOM)),
    }  # fmt: skip
    assert shop.image_document("digits", "sbom") == b'{"packages": []}'
    assert shop.image_document("digits:1", "sbom", platform="linux/arm64") == SBOM
    assert shop.image_log("digits") == "built"
    assert refused(shop.image_document, "digits", "lock").code == "not-found"
    assert refused(shop.image_document, "digits", "sbom", platform="linux/arm").code == "not-found"
    assert refused(shop.image_document, "digits", "else").code == "invalid-request"


def test_an_attached_manifest_does_not_open_bytes_of_others(world: World, shop: Workspace) -> None:
    """A layer type that need not be pushed may name any digest: it is read only where it is linked."""
    secret = b"of another workspace"
    push(world.services, "lab/secret", of_platform("amd64", secret))
    mine = of_platform("amd64", b"layer")
    push(world.services, REPOSITORY, mine, tags=("a",))
    foreign = {
        "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "digest": sha256(secret),
        "size": len(secret),
    }
    document = json.loads(image(subject=mine.descriptor, artifactType=SPDX).data) | {"layers": [foreign]}
    push(
        world.services,
        REPOSITORY,
        Content(json.dumps(document).encode(), oci.MANIFEST, {sha256(b"{}"): b"{}"}),
    )
    shop.register_image("digits", "a")
    assert shop.image_attached("digits") == []
    assert refused(shop.image_document, "digits", "sbom").code == "not-found"
    attach(world.services, REPOSITORY, mine, SBOM, SPDX)
    assert shop.image_document("digits", "sbom") == SBOM, "the control: what is its own is read"


def test_readers_look_and_contributors_change(world: World, shop: Workspace) -> None:
    push(world.services, REPOSITORY, of_platform("amd64", b"layer"), tags=("a",))
    shop.register_image("digits", "a")
    with world.sdk(world.token("rita", {"shop": "Reader"})) as hub:
        reader = hub.workspace("shop")
        assert names(reader.images()) == ["digits:1"]
        assert reader.image_uses("digits") == []
        for act in (
            lambda: reader.register_image("digits", "a"),
            lambda: reader.change_image("digits:1", description="x"),
            lambda: reader.delete_image("digits:1"),
        ):
            assert refused(act).code == "forbidden"
    with world.sdk(world.token("lena", {"lab": "Owner"})) as hub:
        assert refused(hub.workspace("shop").images).code == "not-found"
        assert refused(hub.workspace("lab").image, "digits").code == "not-found"
