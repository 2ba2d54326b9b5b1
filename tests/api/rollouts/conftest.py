"""Fixtures of the rollouts' tests."""

import pytest

from cloud_hub.sdk import Workspace
from tests.api.conftest import World
from tests.api.rollouts.fleet import NAMES, Fleet


@pytest.fixture
def fleet(world: World, shop: Workspace) -> Fleet:
    """A fleet that runs digits:1."""
    fleet = Fleet(world, shop)
    fleet.apply(1, strategy="")
    fleet.says(*NAMES)
    assert set(fleet.states().values()) == {"running"}
    return fleet
