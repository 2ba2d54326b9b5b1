"""Rollouts for devices with some tags, on a real hub."""

import pytest

from cloud_hub.audit.service import Filters
from cloud_hub.sdk import HubRefusedError, Workspace
from tests.api.conftest import Command, World
from tests.api.images import of_platforms, push
from tests.api.test_device_secrets import invite


@pytest.fixture
def fleet(world: World, shop: Workspace) -> Workspace:
    """Three devices and an image."""
    push(world.services, "shop/digits", of_platforms(b"layer")[0], tags=("a",))
    shop.register_image("digits", "a")
    for name in ("cam-1", "cam-2", "cam-3"):
        invite(world, name)
    return shop


def manifest(target: str, strategy: str = "{}") -> str:
    return (
        "apiVersion: headland/v1\nkind: Rollout\nmetadata: {name: line}\nspec:\n"
        f"  target: {target}\n  strategy: {strategy}\n  modules: {{scorer: {{image: 'digits:1'}}}}\n"
    )


def test_who_has_the_tag_gets_it_and_the_wave_that_asks_for_a_tag_comes_first(fleet: Workspace) -> None:
    fleet.tag_device("cam-2", {"site": "lyon"})
    assert fleet.tag_device("cam-3", {"site": "lyon", "pilot": "yes"}).tags == {
        "site": "lyon",
        "pilot": "yes",
    }
    text = manifest("{where: [{tag: site, values: [lyon]}]}", "{waves: [{where: [{tag: pilot}]}]}")
    planned = [(device.device, device.wave) for device in fleet.plan_rollout(text).devices]
    assert planned == [("cam-3", 1), ("cam-2", 2)]
    applied = fleet.apply_rollout(text)
    assert [(device.device, device.wave) for device in applied.devices] == planned
    fleet.tag_device("cam-1", {"site": "lyon"})
    assert len(fleet.rollout("line").devices) == 2, "who comes later waits for the next revision"


def test_a_rollout_for_nobody_is_refused(fleet: Workspace) -> None:
    for target in ("{where: [{tag: site}]}", "{devices: [cam-1], except: [cam-1]}"):
        with pytest.raises(HubRefusedError) as refused:
            fleet.apply_rollout(manifest(target))
        assert "no device is left" in str(refused.value.errors)


def test_a_revoked_device_has_no_tags_that_count(world: World, fleet: Workspace) -> None:
    for name in ("cam-1", "cam-2"):
        fleet.tag_device(name, {"site": "lyon"})
    with world.sdk(world.token("olga", {"shop": "Owner"})) as hub:
        hub.workspace("shop").revoke_device("cam-1")
    planned = fleet.plan_rollout(manifest("{where: [{tag: site}]}"))
    assert [device.device for device in planned.devices] == ["cam-2"]


def test_tags_are_set_changed_and_taken_away(world: World, fleet: Workspace, headland: Command) -> None:
    assert headland("device", "tag", "cam-1", "site=lyon", "pilot=yes") == "cam-1  pilot=yes, site=lyon\n"
    assert headland("device", "tag", "cam-1", "site=nice", "--remove", "pilot") == "cam-1  site=nice\n"
    assert "site=nice" in headland("device", "list")
    assert "tags: site=nice" in headland("device", "show", "cam-1")
    found = world.services.audit.page("shop", Filters(action="device.tag"), 1)
    assert [entry.details for entry in found] == ['{"tag.pilot":"","tag.site":"nice"}']


@pytest.mark.parametrize(("name", "value"), [("Site", "x"), ("site", "a b"), ("site", ""), ("a" * 64, "x")])
def test_a_tag_that_no_condition_could_name_is_refused(fleet: Workspace, name: str, value: str) -> None:
    with pytest.raises(HubRefusedError):
        fleet.tag_device("cam-1", {name: value})


def test_a_device_has_so_many_tags_and_no_more(fleet: Workspace) -> None:
    fleet.tag_device("cam-1", {f"t{number}": "x" for number in range(50)})
    with pytest.raises(HubRefusedError, match="at most 50 tags"):
        fleet.tag_device("cam-1", {"another": "x"})
    assert len(fleet.device("cam-1").tags) == 50
