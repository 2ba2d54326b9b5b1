"""The client against Debian's docker-registry, with skopeo at the other end."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_hub.oci_client.documents import Descriptor
from cloud_hub.oci_client.errors import RegistryDeniedError, RegistryError, RegistryNotFoundError
from cloud_hub.oci_client.pull import fetch_blob, fetch_manifest, open_blob
from cloud_hub.oci_client.push import delete_manifest, has_blob, put_blob, put_manifest
from cloud_hub.oci_client.requests import RegistryRequests
from cloud_hub.outbound.client import Outbound
from cloud_hub.outbound.errors import OutboundFailedError, OutboundRefusedError
from cloud_hub.outbound.policy import parse_allowed
from contract import oci
from tests.bases.pictures import Item, Picture, digest_of, picture
from tests.oci_client.docker_registry import DockerRegistry
from tests.oci_client.docker_registry import registry as registry  # noqa: PLC0414  a fixture

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def made() -> Picture:
    return picture([{"a": Item(b"a" * 3_000_000)}, {"b": Item(b"b")}], pack=bytes, layer_type=oci.LAYER_TAR)


def push(registry: DockerRegistry, made: Picture, repository: str) -> None:
    requests = registry.requests()
    for digest, data in made.blobs.items():
        if data != made.manifest:
            pieces = [data[:9], data[9:]]
            put_blob(requests, repository, digest, len(data), pieces.__iter__)
    put_manifest(requests, repository, made.digest, made.manifest, oci.MANIFEST)
    put_manifest(requests, repository, "1", made.manifest, oci.MANIFEST)


def test_what_is_pushed_is_read_by_skopeo_with_its_digest(
    registry: DockerRegistry, made: Picture, tmp_path: Path
) -> None:
    push(registry, made, "shop/pushed")
    source = f"docker://{registry.name}/shop/pushed:1"
    registry.skopeo("copy", "--preserve-digests", *registry.options("src"), source, f"oci:{tmp_path}/out")
    index = json.loads((tmp_path / "out" / "index.json").read_text())
    assert index["manifests"][0]["digest"] == made.digest
    assert (tmp_path / "out/blobs/sha256" / made.layers[0][7:]).read_bytes() == made.blobs[made.layers[0]]


def test_what_skopeo_pushed_is_pulled(registry: DockerRegistry, made: Picture, tmp_path: Path) -> None:
    folder = made.write(tmp_path / "in")
    target = f"docker://{registry.name}/shop/pulled:2"
    registry.skopeo("copy", "--preserve-digests", *registry.options("dest"), f"oci:{folder}", target)
    requests = registry.requests()
    found = fetch_manifest(requests, "shop/pulled", "2")
    assert (found.data, found.digest, found.media_type) == (made.manifest, made.digest, oci.MANIFEST)
    data = made.blobs[made.layers[0]]
    layer = Descriptor(mediaType=oci.LAYER_TAR, digest=made.layers[0], size=len(data))
    fetch_blob(requests, "shop/pulled", layer, tmp_path / "layer")
    assert (tmp_path / "layer").read_bytes() == data
    with open_blob(requests, "shop/pulled", layer.digest, layer.size, 1_000_000, 5_000) as chunks:
        assert b"".join(chunks) == data[1_000_000:1_005_000]


def test_a_blob_is_mounted_from_another_repository(registry: DockerRegistry) -> None:
    requests, data = registry.requests(), b"mounted"
    put_blob(requests, "shop/one", digest_of(data), len(data), lambda: iter([data]))
    assert not has_blob(requests, "shop/two", digest_of(data))

    def unread() -> Iterator[bytes]:
        raise AssertionError("it was to be mounted")

    put_blob(requests, "shop/two", digest_of(data), len(data), unread, mount_from="shop/one")
    assert has_blob(requests, "shop/two", digest_of(data))


def test_a_blob_with_another_digest_is_not_stored(registry: DockerRegistry) -> None:
    requests = registry.requests()
    with pytest.raises(RegistryError, match="storing a blob"):
        put_blob(requests, "shop/wrong", digest_of(b"right"), 5, lambda: iter([b"wrong"]))
    assert not has_blob(requests, "shop/wrong", digest_of(b"right"))


def test_a_manifest_is_deleted(registry: DockerRegistry, made: Picture) -> None:
    push(registry, made, "shop/deleted")
    requests = registry.requests()
    assert delete_manifest(requests, "shop/deleted", made.digest)
    assert not delete_manifest(requests, "shop/deleted", made.digest)
    with pytest.raises(RegistryNotFoundError):
        fetch_manifest(requests, "shop/deleted", made.digest)


@pytest.mark.parametrize("secret", ["ana:wrong", "a-token", ""])
def test_without_the_right_credential_it_is_refused(registry: DockerRegistry, secret: str) -> None:
    with pytest.raises(RegistryDeniedError):
        fetch_manifest(registry.requests(secret), "shop/x", "1")


def test_loopback_and_a_strange_certificate_are_refused_where_the_owner_says_nothing(
    registry: DockerRegistry,
) -> None:
    with pytest.raises(OutboundRefusedError):
        fetch_manifest(RegistryRequests(Outbound(), registry.name), "shop/x", "1")
    with pytest.raises(OutboundFailedError):
        fetch_manifest(
            RegistryRequests(Outbound(parse_allowed((registry.name,))), registry.name), "shop/x", "1"
        )
