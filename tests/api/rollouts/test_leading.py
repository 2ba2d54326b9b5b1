"""Who leads rollouts: two at once, one that is killed, and how long it looks."""

import pytest

from cloud_hub.db.engine import Database
from cloud_hub.rollouts.conductor import Conductor
from tests.api.rollouts.fleet import NAMES, Fleet, pass_bake, questions
from tests.hub.race import race


def test_two_that_lead_at_once_give_nothing_twice(fleet: Fleet) -> None:
    fleet.apply(2, strategy="waves: [{count: 5}]")
    pushed = list[str]()
    database: Database = fleet.world.core.database
    leaders = [
        Conductor(
            database, fleet.world.core.signer, lambda device, _: pushed.append(device), questions(fleet)
        )
        for _ in range(4)
    ]
    race(*(leader.tick for leader in leaders))
    assert sorted(pushed) == NAMES
    assert {fleet.generation(device) for device in NAMES} == {2}


def test_only_looks_count_and_not_what_is_done_in_between(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits nine times as long as a look takes must not wait so for having moved a thousand devices."""
    fleet.apply(2, strategy="waves: [{count: 5}]")
    clock = [0.0]
    monkeypatch.setattr("cloud_hub.rollouts.conductor.time.monotonic", lambda: clock[0])

    def slowly(_device: str, _envelope: bytes) -> None:
        clock[0] += 100

    conductor = Conductor(fleet.world.core.database, fleet.world.core.signer, slowly, questions(fleet))
    assert conductor.tick() == 0
    assert (clock[0], fleet.on(2)) == (500, NAMES)


def test_a_kill_between_what_is_kept_and_what_is_sent_loses_nothing(fleet: Fleet) -> None:
    fleet.apply(2)

    def killed(_device: str, _envelope: bytes) -> None:
        raise KeyboardInterrupt

    conductor = Conductor(fleet.world.core.database, fleet.world.core.signer, killed, questions(fleet))
    with pytest.raises(KeyboardInterrupt):
        conductor.tick()
    assert fleet.on(2) == ["cam-1"], "the device is given it when it asks"
    fleet.says("cam-1")
    pass_bake(fleet)
    assert fleet.on(2) == NAMES[:3]
