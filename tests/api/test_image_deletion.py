"""Deleting images over HTTPS: what is deployed stays, and the rest goes whole."""

from datetime import UTC, datetime

import pytest

from cloud_hub.devices.rows import DeviceRow
from cloud_hub.registry.rows import TagRow
from cloud_hub.sdk import HubRefusedError, Workspace
from tests.api.conftest import World, bearer
from tests.api.images import (
    REPOSITORY,
    SBOM,
    SPDX,
    attach,
    blobs_of,
    links,
    names,
    of_platform,
    of_platforms,
    push,
    refused,
    report,
    roll_out,
)


def test_an_image_that_a_deployment_uses_stays_and_the_deployments_are_named(
    world: World, shop: Workspace
) -> None:
    push(world.services, REPOSITORY, of_platform("amd64", b"layer"), tags=("a",))
    for _ in range(2):
        shop.register_image("digits", "a")
    for device in ("cam-1", "cam-2"):
        shop.invite_device(device)
    roll_out(world.services, "line", "digits:1", "cam-1", "cam-2")
    error = refused(shop.delete_image, "digits:1")
    assert error.code == "image-in-use"
    assert "rollout line:1 on device cam-1 as scorer" in error.what
    assert [one.field for one in error.errors] == ["rollouts.line:1", "rollouts.line:1"]
    report(world.services, "cam-1", 1, "digits:1")
    roll_out(world.services, "line", "digits:2", "cam-1", "cam-2")
    error = refused(shop.delete_image, "digits:1")
    assert [one.field for one in error.errors] == ["devices.cam-1"], "it still runs it"
    assert "device cam-1 runs it as scorer" in error.what
    assert [(use.device, use.rollout) for use in shop.image_uses("digits:1")] == [("cam-1", None)]
    report(world.services, "cam-1", 2, "digits:2")
    assert shop.image_uses("digits:1") == []
    shop.delete_image("digits:1")
    assert names(shop.images()) == ["digits:2"]
    assert refused(shop.delete_image, "digits:2").code == "image-in-use"


def test_a_revoked_device_holds_no_image(world: World, shop: Workspace) -> None:
    push(world.services, REPOSITORY, of_platform("amd64", b"layer"), tags=("a",))
    shop.register_image("digits", "a")
    shop.invite_device("cam-1")
    roll_out(world.services, "line", "digits:1", "cam-1")
    assert refused(shop.delete_image, "digits:1").code == "image-in-use"
    with world.core.database.transaction() as session:
        session.get_one(DeviceRow, "cam-1").revoked_at = datetime.now(UTC)
    shop.delete_image("digits:1")


def test_a_deleted_version_is_gone_and_its_number_is_not_given_again(world: World, shop: Workspace) -> None:
    first, second = of_platforms(b"shared"), of_platforms(b"shared", architectures=("amd64",))
    push(world.services, REPOSITORY, *first, tags=("a",))
    push(world.services, REPOSITORY, *second, tags=("b",))
    attach(world.services, REPOSITORY, first[-1], SBOM, SPDX)
    shop.register_image("digits", "a")
    shop.register_image("digits", "b")
    shop.register_image("digits", "a")  # the same image under another version
    shop.delete_image("digits:3")
    registry = world.services.registry
    assert registry.manifest(REPOSITORY, "1").digest == first[-1].digest, "version 1 is whole"
    assert shop.image_packages("digits:1")
    with world.core.database.reading() as session:
        assert session.get(TagRow, (REPOSITORY, "3")) is None
    shop.delete_image("digits:1")
    assert refused(shop.image, "digits:1").code == "not-found"
    assert first[-1].digest not in links(world)
    assert second[-1].digest in links(world)
    assert set(blobs_of(*second)) <= links(world), "what another version has stays"
    push(world.services, REPOSITORY, *first, tags=("a",))
    assert shop.register_image("digits", "a").version == 4
    assert refused(shop.delete_image, "digits:9").code == "not-found"
    with pytest.raises(HubRefusedError, match="a version must be said"):
        shop.delete_image("digits")


def test_deleting_leaves_whole_what_an_index_of_others_names(world: World, shop: Workspace) -> None:
    pushed = of_platforms(b"shared")
    push(world.services, REPOSITORY, *pushed, tags=("edge",))
    shop.register_image("digits", pushed[1].digest)
    shop.delete_image("digits:1")
    assert set(blobs_of(*pushed)) <= links(world)
    assert shop.register_image("digits", "edge").version == 2


def test_the_wire_refuses_to_delete_what_is_registered_or_deployed(world: World, shop: Workspace) -> None:
    pushed = of_platforms(b"shared")
    push(world.services, REPOSITORY, *pushed, tags=("edge",))
    shop.register_image("digits", "edge")
    path = f"/v2/{REPOSITORY}/manifests/{pushed[0].digest}"
    headers = bearer(world.admin_token)
    answer = world.client.delete(path, headers=headers)
    assert (answer.status_code, "digits:1" in answer.text) == (409, True)
    shop.invite_device("cam-1")
    roll_out(world.services, "line", "digits:1", "cam-1")
    answer = world.client.delete(path, headers=headers)
    assert "rollout line:1 on device cam-1 as scorer" in answer.text
