"""Rollouts that begin at a set time, over a real hub."""

import pytest

from cloud_hub.sdk import HubRefusedError
from tests.api.rollouts.fleet import Fleet


@pytest.mark.parametrize("when", ["2100-01-01T00:00:00Z", "'2100-01-01T02:00:00+02:00'"])
def test_a_rollout_for_later_waits_and_says_so(fleet: Fleet, when: str) -> None:
    fleet.apply(2, strategy=f"beginsAt: {when}")
    fleet.tick()
    rollout = fleet.shop.rollout("line")
    assert (rollout.state, rollout.reason) == ("running", "begins at 2100-01-01 00:00:00 UTC")
    assert fleet.on(2) == []
    fleet.shop.abort_rollout("line")
    fleet.tick()
    assert fleet.shop.rollout("line").state == "aborted"


@pytest.mark.parametrize("when", ["2100-01-01T00:00:00", "tomorrow", "2100-01-01"])
def test_a_time_without_a_zone_is_refused(fleet: Fleet, when: str) -> None:
    with pytest.raises(HubRefusedError) as refused:
        fleet.apply(2, strategy=f"beginsAt: {when}")
    assert [each.field for each in refused.value.errors] == ["spec.strategy.beginsAt"]
