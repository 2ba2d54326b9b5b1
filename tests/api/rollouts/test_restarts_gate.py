"""A gate on restarts over a real hub: counted by what devices report of the rollout's own document."""

import pytest

from cloud_hub.sdk import Workspace
from tests.api.conftest import World
from tests.api.rollouts.fleet import NAMES, Fleet, pass_bake

GATE = "waves: [{count: 1}, {count: 2}], gates: {restarts: 1}"


@pytest.fixture
def fleet(world: World, shop: Workspace) -> Fleet:
    """A fleet that runs digits:1, whose first device has restarted its module often."""
    fleet = Fleet(world, shop)
    fleet.apply(1, strategy="")
    fleet.says(*NAMES, restarts=7)
    return fleet


def test_restarts_of_before_do_not_count_and_one_is_allowed(fleet: Fleet) -> None:
    fleet.apply(2, strategy=GATE)
    fleet.tick()
    assert fleet.shop.rollout("line").state == "running", "what was reported is of the document before"
    fleet.says("cam-1", restarts=1)
    pass_bake(fleet)
    assert fleet.on(2) == NAMES[:3]


def test_one_that_restarts_again_and_again_is_taken_back(fleet: Fleet) -> None:
    fleet.apply(2, strategy=GATE)
    fleet.tick()
    fleet.says("cam-1", restarts=2)
    fleet.tick()
    rollout = fleet.shop.rollout("line")
    assert rollout.state == "aborted"
    assert "cam-1: its modules restarted 2 times, 1 may be" in rollout.reason
    assert fleet.on(1) == NAMES


def test_negative_control_without_the_gate_it_goes_on(fleet: Fleet) -> None:
    fleet.apply(2)
    fleet.tick()
    fleet.says("cam-1", restarts=2)
    pass_bake(fleet)
    assert fleet.on(2) == NAMES[:3]
