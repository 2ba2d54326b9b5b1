"""The hub makes deltas when a version is registered, and a device pulls one from it."""

import io
import platform
import random
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy.orm import Session

from agent.artifacts.delta import Savings
from agent.artifacts.fetch import HttpsRegistry
from agent.artifacts.pull import pull_image
from agent.artifacts.store import ContentStore
from cloud_hub.images.deltas.pairs import pairs_of
from cloud_hub.images.deltas.service import DELTAS
from cloud_hub.images.platforms import ImageLayer, ImagePlatform
from cloud_hub.images.pushed import Pushed
from cloud_hub.images.rows import ImageRow
from cloud_hub.settings import Settings
from contract import oci
from contract.delta import container
from contract.delta.applying import pieces
from contract.desired import ImageRef
from contract.digests import sha256
from tests.api.conftest import ADMIN, World, bearer, hub_of
from tests.deltas.layers import onnx_of, rounded, tar_of, tuned, weights
from tests.registry.content import Content, described
from tests.registry.wire import Wire

BEFORE = weights(1, size=400_000)
AFTER = tuned(BEFORE)
BASE = tar_of({"base": b"base" * 2000})
OLD, NEW = (tar_of({"m/model.onnx": onnx_of(each)}) for each in (BEFORE, AFTER))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A hub."""
    with hub_of(Settings(data_dir=tmp_path_factory.mktemp("hub") / "hub")) as world:
        world.services.activities.begin()
        yield world


@pytest.fixture(scope="module")
def wire(world: World) -> Wire:
    """Requests of somebody who may push."""
    return Wire(world.client, world.token("carla", {"shop": "Contributor"}))


def image_of(*layers: tuple[str, bytes]) -> Content:
    """Return an image for this machine."""
    config = msgspec.json.encode(
        oci.ImageConfig(
            architecture=oci.architecture_of(platform.machine()),
            os="linux",
            config=oci.RunConfig(Entrypoint=("/bin/x",)),
            rootfs=oci.RootFs(type="layers", diff_ids=tuple(sha256(data) for _, data in layers)),
        )
    )
    title = "org.opencontainers.image.title"
    document = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": described(config, oci.CONFIG),
        "layers": [described(data, oci.LAYER_TAR) | {"annotations": {title: name}} for name, data in layers],
    }
    blobs = {sha256(data): data for data in (config, *(data for _, data in layers))}
    return Content(msgspec.json.encode(document), oci.MANIFEST, blobs)


def register(world: World, wire: Wire, name: str, *layers: tuple[str, bytes]) -> ImageRef:
    """Push an image and register it."""
    image = image_of(*layers)
    wire.push(f"shop/{name}", image, "pushed")
    answer = world.client.post(
        "/api/v1/workspaces/shop/images",
        json={"name": name, "reference": "pushed", "models": []},
        headers=bearer(wire.token),
    )
    assert answer.status_code == 201, answer.text
    return ImageRef(repository=f"shop/{name}", digest=image.digest, name=name)


def activities(world: World, name: str = "completed") -> list[dict[str, object]]:
    """Return the results of all activities that made deltas, once all have ended."""
    deadline = time.monotonic() + 120
    while True:
        rows = [row for row in world.services.activities.all_in("shop") if row.kind == DELTAS]
        if all(row.state not in {"queued", "running"} for row in rows):
            assert {row.state for row in rows} <= {name}
            return [dict(row.result or {}) for row in rows]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def referrers(wire: Wire, ref: ImageRef, kind: str = container.MEDIA_TYPE) -> list[dict[str, Any]]:
    """Return the deltas of an image."""
    answer = wire.ask("GET", f"{ref.repository}/referrers/{ref.digest}", params={"artifactType": kind})
    assert answer.status_code == 200
    found: list[dict[str, Any]] = answer.json()["manifests"]
    return found


class Admitted(HttpsRegistry):
    """The agent's own client; here it shows a token where a device has a certificate."""

    def __init__(self, url: str, context: ssl.SSLContext, token: str) -> None:
        super().__init__(url, context)
        self._token = token

    def _get(self, path: str, headers: dict[str, str]):  # type: ignore[no-untyped-def]  # noqa: ANN202
        return super()._get(path, headers | bearer(self._token))


def client_of(world: World, wire: Wire) -> Admitted:
    """Return an agent's client."""
    tls = ssl.create_default_context(cafile=str(world.core.certificate.parent / "ca.pem"))
    return Admitted(str(world.client.base_url), tls, wire.token)


def test_a_rounded_version_comes_to_a_device_as_a_scaled_delta(
    world: World, wire: Wire, tmp_path: Path
) -> None:
    model = onnx_of(rounded(BEFORE, AFTER))
    first = register(world, wire, "rounded", ("model", OLD))
    second = register(world, wire, "rounded", ("model", tar_of({"m/model.onnx": model})))
    activities(world)
    (found,) = referrers(wire, second, container.SCALED_MEDIA_TYPE)
    (of_old_agents,) = referrers(wire, second)
    assert [each["annotations"][container.KIND] for each in (found, of_old_agents)] == ["scaled", "tensor"]
    client, store, savings = client_of(world, wire), ContentStore(tmp_path), Savings()
    pull_image(first, client, store, savings)
    before = savings.report().received_bytes
    staged = pull_image(second, client, store, savings)
    report = savings.report()
    assert (report.deltas, report.fallbacks) == (1, 0)
    size = int(found["annotations"][container.BYTES])
    assert report.received_bytes - before == size < 0.3 * len(NEW)
    assert size < 0.6 * int(of_old_agents["annotations"][container.BYTES])
    assert (staged.layers[0] / "m/model.onnx").read_bytes() == model


def test_a_new_version_comes_to_a_device_as_a_delta(world: World, wire: Wire, tmp_path: Path) -> None:
    first = register(world, wire, "digits", ("base", BASE), ("model", OLD))
    second = register(world, wire, "digits", ("base", BASE), ("model", NEW))
    assert activities(world)[0]["made"] == 1
    (found,) = referrers(wire, second)
    told = found["annotations"]
    assert told[container.FROM] == sha256(OLD)
    assert told[container.TO] == sha256(NEW)
    assert told[container.KIND] == "tensor"
    assert referrers(wire, first) == []

    client = client_of(world, wire)
    store, savings = ContentStore(tmp_path), Savings()
    pull_image(first, client, store, savings)
    before = savings.report().received_bytes
    staged = pull_image(second, client, store, savings)
    report = savings.report()
    assert (report.deltas, report.fallbacks) == (1, 0)
    assert report.received_bytes - before == int(told[container.BYTES]) < 0.8 * len(NEW)
    assert (staged.layers[1] / "m/model.onnx").read_bytes() == onnx_of(AFTER)


def test_deltas_come_from_several_versions_and_only_where_they_gain(world: World, wire: Wire) -> None:
    tars = [tar_of({"m/model.onnx": onnx_of(tuned(BEFORE, seed))}) for seed in range(3)]
    for tar in tars:
        last = register(world, wire, "several", ("base", BASE), ("model", tar))
    activities(world)
    assert {each["annotations"][container.FROM] for each in referrers(wire, last)} == set(
        map(sha256, tars[:2])
    )
    other = tar_of({"m/model.onnx": random.Random(7).randbytes(500_000)})
    last = register(world, wire, "several", ("base", BASE), ("model", other))
    activities(world)
    assert referrers(wire, last) == []
    last = register(world, wire, "several", ("base", BASE), ("another title", tars[0]))
    assert activities(world)[0] == {"made": 0, "saved_bytes": 0}


def test_what_is_stored_is_proved(world: World, wire: Wire) -> None:
    register(world, wire, "proved", ("model", OLD))
    ref = register(world, wire, "proved", ("model", NEW))
    activities(world)
    (found,) = referrers(wire, ref)
    manifest = wire.ask("GET", f"{ref.repository}/manifests/{found['digest']}").json()
    assert manifest["subject"]["digest"] == ref.digest
    blob = wire.ask("GET", f"{ref.repository}/blobs/{manifest['layers'][0]['digest']}").content
    source = io.BytesIO(blob)
    made = b"".join(pieces(source, container.read_header(source), lambda at, size: OLD[at : at + size]))
    assert made == NEW


def test_a_version_and_its_deltas_are_there_together_or_not_at_all(
    world: World, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub ends behind the queueing, before the commit: there is neither a version nor an activity."""
    register(world, wire, "together", ("model", OLD))
    activities(world)
    before = len(world.services.activities.all_in("shop"))
    wire.push("shop/together", image_of(("model", NEW)), "pushed")
    pushed = Pushed(name="together", reference="pushed")
    images = world.services.pushed_images
    queue = images._registered

    def end(session: Session, row: ImageRow) -> None:
        queue(session, row)
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(images, "_registered", end)
        with pytest.raises(SystemExit):
            images.register("shop", pushed, ADMIN)
    assert world.services.images.get("shop", "together", None).version == 1
    assert len(world.services.activities.all_in("shop")) == before
    assert images.register("shop", pushed, ADMIN).version == 2
    assert len(world.services.activities.all_in("shop")) == before + 1
    activities(world)


def platform_of(digest: str, *layers: tuple[str, str]) -> ImagePlatform:
    """Return a platform with these (title, diff id)."""
    made = tuple(ImageLayer(title, diff_id, diff_id, 9) for title, diff_id in layers)
    return ImagePlatform("linux/amd64", digest, "c", 9, made)


def test_pairs_are_of_one_title_and_each_old_layer_once() -> None:
    new = platform_of("new", ("base", "b"), ("model", "m3"), ("script", "s"))
    earlier = [
        [platform_of("two", ("base", "b"), ("model", "m2"))],
        [platform_of("one", ("base", "a"), ("model", "m2"))],
        [platform_of("zero", ("model", "m3"))],
        [ImagePlatform("", "old", "c", 9, ())],
    ]
    found = [(pair.old.diff_id, pair.new.diff_id) for pair in pairs_of([new], earlier)]
    assert found == [("m2", "m3"), ("a", "b")]


def test_a_cancelled_activity_ends_its_child(world: World, wire: Wire) -> None:
    noise = random.Random(8)
    old, new = (tar_of({"m/model.bin": noise.randbytes(30_000_000)}) for _ in range(2))
    register(world, wire, "cancelled", ("model", old))
    ref = register(world, wire, "cancelled", ("model", new))
    (row,) = (row for row in world.services.activities.all_in("shop") if row.state in {"queued", "running"})
    deadline = time.monotonic() + 60
    while world.services.activities.get("shop", row.id).state == "queued":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    world.services.activities.cancel("shop", row.id, ADMIN)
    while world.services.activities.get("shop", row.id).state == "running":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert world.services.activities.get("shop", row.id).state == "cancelled"
    assert referrers(wire, ref) == []
    assert not list((world.services.settings.data_dir / "work").glob("delta-*"))
