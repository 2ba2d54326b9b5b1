"""`rollout plan` on a real hub: what it says is what an apply then does, and it does nothing itself."""

import pytest

from cloud_hub.sdk import HubRefusedError, RolloutPlan, Workspace
from tests.api.conftest import World
from tests.api.images import of_platforms, push
from tests.api.test_device_secrets import invite


@pytest.fixture
def fleet(world: World, shop: Workspace) -> Workspace:
    """A workspace with two devices, and an image in two versions."""
    for number, tag in enumerate(("a", "b")):
        push(world.services, "shop/digits", of_platforms(b"layer%d" % number)[0], tags=(tag,))
        shop.register_image("digits", tag)
    for name in ("cam-1", "cam-2"):
        invite(world, name)
    return shop


def manifest(version: int, *devices: str, more: str = "") -> str:
    return (
        "apiVersion: headland/v1\nkind: Rollout\nmetadata: {name: line}\nspec:\n"
        f"  target: {{devices: [{', '.join(devices)}]}}\n"
        f"  modules: {{scorer: {{image: 'digits:{version}'{more}}}}}\n"
    )


def told(plan: RolloutPlan) -> dict[str, tuple[int, str, list[tuple[str, str, str]]]]:
    return {
        each.device: (each.generation, each.replaces, [(c.kind, c.now, c.then) for c in each.changes])
        for each in plan.devices
    }


def test_what_is_planned_is_what_is_applied_then(world: World, fleet: Workspace) -> None:
    both = manifest(1, "cam-1", "cam-2")
    planned = fleet.plan_rollout(both)
    started = (1, "", [("start", "", "digits:1")])
    assert (planned.name, planned.revision) == ("line", 1)
    assert told(planned) == {"cam-1": started, "cam-2": started}
    assert fleet.rollouts() == []
    assert world.services.rollouts.newer_than("cam-1", 0) is None
    applied = fleet.apply_rollout(both)
    assert (applied.revision, [device.generation for device in applied.devices]) == (1, [1, 1])
    again = fleet.plan_rollout(both)
    assert [device.changed for device in again.devices] == [False, False]
    assert told(again)["cam-1"] == (2, "line:1", [("keep", "digits:1", "digits:1")])
    next_one = fleet.plan_rollout(manifest(2, "cam-1"))
    assert told(next_one) == {"cam-1": (2, "line:1", [("update", "digits:1", "digits:2")])}
    other_way = fleet.plan_rollout(manifest(1, "cam-1", more=", env: {X: '1'}"))
    assert told(other_way)["cam-1"][2] == [("settings", "digits:1", "digits:1")]


def test_what_would_be_refused_is_refused(fleet: Workspace) -> None:
    for text in (manifest(9, "cam-1"), manifest(1, "cam-9"), "kind: Rollout"):
        with pytest.raises(HubRefusedError) as planned:
            fleet.plan_rollout(text)
        with pytest.raises(HubRefusedError) as applied:
            fleet.apply_rollout(text)
        assert str(planned.value) == str(applied.value)
