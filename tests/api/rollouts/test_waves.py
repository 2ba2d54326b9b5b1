"""Rollouts in waves over a real hub: devices report by the hub's own service, and a person steers by HTTP."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import update

from cloud_hub.backup.rollouts import hold_rollouts
from cloud_hub.rollouts.documents import content_of
from cloud_hub.rollouts.rows import RolloutRow
from cloud_hub.sdk import HubRefusedError, Workspace
from contract.messages import Refusal
from tests.api.conftest import Command, World
from tests.api.rollouts.fleet import NAMES, WAVES, Fleet, later, pass_bake


@pytest.fixture
def owner(world: World) -> Iterator[Workspace]:
    """The workspace shop as an Owner sees it."""
    with world.sdk(world.token("olga", {"shop": "Owner"})) as hub:
        yield hub.workspace("shop")


def test_waves_go_over_the_fleet_and_nothing_is_given_before_its_turn(fleet: Fleet) -> None:
    fleet.apply(2)
    assert fleet.on(2) == [], "the manifest is kept, nothing more"
    assert fleet.shop.rollout("line").state == "running"
    fleet.tick()
    assert fleet.on(2) == ["cam-1"]
    assert fleet.states()["cam-2"] == "pending"
    fleet.tick()
    pass_bake(fleet)
    assert fleet.on(2) == ["cam-1"], "it has not reported yet"
    fleet.says("cam-1")
    fleet.tick()
    assert fleet.on(2) == ["cam-1"], "it is watched first"
    pass_bake(fleet)
    assert fleet.on(2) == NAMES[:3]
    fleet.says("cam-2", "cam-3")
    pass_bake(fleet)
    assert fleet.on(2) == NAMES
    fleet.says("cam-4", "cam-5")
    pass_bake(fleet)
    rollout = fleet.shop.rollout("line")
    assert (rollout.state, rollout.wave, rollout.waves, rollout.settled) == ("done", 3, 3, True)
    assert [device.wave for device in rollout.devices] == [1, 2, 2, 3, 3]
    events = [(event.state, event.wave) for event in fleet.shop.rollout_events("line")]
    assert events == [("running", 1), ("running", 2), ("running", 3), ("done", 3)]


def test_a_bad_release_stops_in_the_first_wave_and_what_moved_is_back(fleet: Fleet) -> None:
    fleet.apply(2, strategy="waves: [{count: 2}]")
    fleet.tick()
    fleet.says("cam-1")
    fleet.says("cam-2", state="rolled_back", reason="stopped before it was ready")
    fleet.tick()
    rollout = fleet.shop.rollout("line")
    assert rollout.state == "aborted"
    why = "wave 1: 1 of 2 devices failed, 0 may (cam-2: stopped before it was ready)"
    assert rollout.reason == why
    assert fleet.on(1) == NAMES
    assert fleet.states() == {
        "cam-1": "returning",
        "cam-2": "returning",
        "cam-3": "pending",
        "cam-4": "pending",
        "cam-5": "pending",
    }
    fleet.says("cam-1", "cam-2")
    assert [fleet.states()[name] for name in NAMES[:2]] == ["returned", "returned"]
    events = [(event.state, event.words) for event in fleet.shop.rollout_events("line")]
    assert events == [("running", ""), ("aborting", why), ("aborted", why)]
    (first,) = [each for each in fleet.shop.rollouts() if each.revision == 1]
    assert {each.device: each.generation for each in first.devices}["cam-1"] == 3, "it is its own again"


def test_a_device_that_was_away_gets_what_is_current_and_never_what_was_taken_back(fleet: Fleet) -> None:
    fleet.apply(2, strategy="waves: [{count: 2}]")
    fleet.tick()
    fleet.says("cam-2", state="failed", reason="no")
    fleet.tick()
    envelope = fleet.world.services.rollouts.newer_than("cam-1", 1)
    assert envelope is not None
    assert content_of(envelope).modules[0].image.name == "digits:1"
    assert content_of(envelope).rollout == "line:1"


def test_a_device_that_had_nothing_has_nothing_again(world: World, shop: Workspace) -> None:
    fleet = Fleet(world, shop)
    fleet.apply(2)
    fleet.tick()
    fleet.says("cam-1", state="failed")
    fleet.tick()
    assert fleet.images() == dict.fromkeys(NAMES, "")
    fleet.says("cam-1")
    assert fleet.states()["cam-1"] == "returned"


def test_what_was_given_at_once_can_be_aborted_too(fleet: Fleet) -> None:
    fleet.apply(2, strategy="")
    assert fleet.shop.rollout("line").state == "done"
    assert fleet.on(2) == NAMES
    assert fleet.shop.abort_rollout("line").state == "aborting"
    fleet.tick()
    assert fleet.on(1) == NAMES
    assert fleet.shop.rollout("line").state == "aborted"


def test_a_newer_revision_ends_the_older_one(fleet: Fleet) -> None:
    fleet.apply(2)
    fleet.tick()
    fleet.apply(3)
    (second,) = [each for each in fleet.shop.rollouts() if each.revision == 2]
    assert (second.state, second.reason) == ("superseded", "line:3 was applied")
    assert [device.state for device in second.devices][1:] == ["superseded"] * 4
    fleet.tick()
    assert (fleet.on(3), fleet.on(2)) == (["cam-1"], [])
    fleet.says("cam-1", state="failed")
    fleet.tick()
    assert fleet.on(2) == ["cam-1"], "what it had before is what the second revision gave it"


def test_another_rollout_takes_devices_that_wait_and_that_moved(fleet: Fleet) -> None:
    fleet.apply(2)
    fleet.tick()
    fleet.apply(3, strategy="", name="other", only=2)
    assert fleet.on(3) == ["cam-1", "cam-2"]
    assert [fleet.states()[name] for name in NAMES[:3]] == ["superseded", "superseded", "pending"]
    for name in ("cam-3", "cam-5"):
        pass_bake(fleet)
        pass_bake(fleet)
        assert name in fleet.on(2)
        fleet.says(*fleet.on(2))
    pass_bake(fleet)
    assert fleet.shop.rollout("line").state == "done"
    fleet.shop.abort_rollout("line")
    fleet.tick()
    assert (fleet.on(3), fleet.on(1)) == (["cam-1", "cam-2"], ["cam-3", "cam-4", "cam-5"])


def test_people_pause_resume_and_the_failed_count_no_more(fleet: Fleet) -> None:
    fleet.apply(2, strategy=f"{WAVES}, onFailure: pause")
    fleet.tick()
    fleet.says("cam-1", state="failed", reason="no such camera")
    fleet.tick()
    paused = fleet.shop.rollout("line")
    assert (paused.state, paused.settled) == ("paused", True)
    assert "no such camera" in paused.reason
    assert fleet.shop.resume_rollout("line").state == "running"
    pass_bake(fleet)
    pass_bake(fleet)
    assert fleet.on(2) == NAMES[:3]
    assert fleet.shop.pause_rollout("line").reason == "paused"
    fleet.says("cam-2", "cam-3")
    pass_bake(fleet)
    assert fleet.on(2) == NAMES[:3], "nothing further while it is paused"
    fleet.shop.resume_rollout("line")
    pass_bake(fleet)
    pass_bake(fleet)
    assert fleet.on(2) == NAMES


def test_a_wave_waits_for_an_owner(fleet: Fleet, owner: Workspace) -> None:
    fleet.apply(2, strategy="waves: [{count: 1}, {count: 2, approval: true}]")
    fleet.tick()
    fleet.says("cam-1")
    pass_bake(fleet)
    waiting = fleet.shop.rollout("line")
    assert (waiting.state, waiting.wave, waiting.settled) == ("awaiting-approval", 2, True)
    with pytest.raises(HubRefusedError, match="your role Contributor does not allow it"):
        fleet.shop.approve_rollout("line")
    assert fleet.on(2) == ["cam-1"]
    owner.approve_rollout("line")
    fleet.tick()
    assert fleet.on(2) == NAMES[:3]
    assert [event.by for event in fleet.shop.rollout_events("line") if event.by] == ["ana", "olga"]


@pytest.mark.parametrize(
    ("state", "refused"),
    [("done", ["pause", "resume", "approve"]), ("aborted", ["pause", "resume", "abort", "approve"])],
)
def test_what_makes_no_sense_is_refused(
    fleet: Fleet, owner: Workspace, state: str, refused: list[str]
) -> None:
    if state == "aborted":
        fleet.shop.abort_rollout("line")
        fleet.tick()
    acts: dict[str, Callable[[str], object]] = {
        "pause": owner.pause_rollout,
        "resume": owner.resume_rollout,
        "abort": owner.abort_rollout,
        "approve": owner.approve_rollout,
    }
    for name in refused:
        with pytest.raises(HubRefusedError, match=f"the rollout is {state}: there is nothing to {name}"):
            acts[name]("line")


def test_images_of_a_rollout_under_way_are_in_use(fleet: Fleet, owner: Workspace) -> None:
    fleet.apply(2)
    with pytest.raises(HubRefusedError, match="line:2 on device cam-2"):
        owner.delete_image("digits:2")
    fleet.tick()
    fleet.says(*NAMES)
    with pytest.raises(HubRefusedError, match="line:1 on device cam-1"):
        owner.delete_image("digits:1")


def test_what_an_abort_would_give_back_past_another_abort_is_in_use(fleet: Fleet, owner: Workspace) -> None:
    fleet.apply(2, strategy="", name="aa")
    fleet.apply(3, name="bb")
    fleet.tick()
    fleet.shop.abort_rollout("aa")
    fleet.tick()
    fleet.says(*NAMES)
    with pytest.raises(HubRefusedError, match="rollout line:1 on device cam-1"):
        owner.delete_image("digits:1")
    fleet.shop.abort_rollout("bb")
    fleet.tick()
    assert fleet.on(1) == NAMES


def test_one_that_fell_silent_while_it_changed_is_shown_as_away(fleet: Fleet) -> None:
    fleet.apply(2, strategy="")
    fleet.says(*NAMES[1:])
    fleet.says("cam-1", state="starting")
    assert fleet.states()["cam-1"] == "rolling"
    with later(fleet, 200):
        assert fleet.states()["cam-1"] == "away"
    assert fleet.shop.rollout("line").settled


def test_a_rollout_from_before_there_were_waves_stays_as_it_is(fleet: Fleet) -> None:
    with fleet.world.core.database.transaction() as session:
        session.execute(update(RolloutRow).values(content=None, rules=None))
    assert fleet.shop.rollout("line").waves == 1
    with pytest.raises(HubRefusedError, match="nothing to abort"):
        fleet.shop.abort_rollout("line")


def test_two_rollouts_that_are_both_aborted_leave_what_was_before_both(fleet: Fleet) -> None:
    for first, second in (("aa", "bb"), ("bb", "aa")):
        fleet.apply(2, strategy="", name="aa")
        fleet.apply(3, strategy="", name="bb", only=1)
        for name in (first, second):
            fleet.shop.abort_rollout(name)
            fleet.tick()
        assert fleet.on(1) == NAMES, f"{first}, then {second}"


def test_a_device_that_one_gives_back_to_another_is_that_ones_again(fleet: Fleet) -> None:
    fleet.apply(2, strategy="", name="aa")
    fleet.says(*NAMES)
    fleet.apply(3, strategy="", name="bb", only=1)
    assert fleet.states("aa")["cam-1"] == "superseded"
    fleet.shop.abort_rollout("bb")
    fleet.tick()
    fleet.says("cam-1")
    assert (fleet.states("aa")["cam-1"], fleet.states("bb")["cam-1"]) == ("running", "returned")


def test_a_refusal_of_an_earlier_document_is_none_of_this_one(fleet: Fleet) -> None:
    fleet.apply(2)
    fleet.tick()
    refusal = Refusal(code="expired", reason="long ago", generation=1)
    fleet.says_refused("cam-1", refusal)
    fleet.tick()
    assert (fleet.shop.rollout("line").state, fleet.states()["cam-1"]) == ("running", "waiting")
    fleet.says_refused("cam-1", Refusal(code="policy-ports", reason="no ports", generation=2))
    fleet.tick()
    assert "cam-1: no ports" in fleet.shop.rollout("line").reason


def test_a_report_of_what_this_hub_never_gave_is_no_success(fleet: Fleet) -> None:
    fleet.apply(2)
    fleet.tick()
    fleet.says("cam-1", ahead=1)
    assert fleet.states()["cam-1"] == "superseded"


def test_a_rollout_under_way_is_paused_by_a_restore(fleet: Fleet) -> None:
    fleet.apply(2)
    with fleet.world.core.database.transaction() as session:
        hold_rollouts(session)
    rollout = fleet.shop.rollout("line")
    assert (rollout.state, rollout.reason) == ("paused", "the hub was restored from a backup")


def test_no_abort_to_an_image_that_was_deleted(fleet: Fleet, owner: Workspace) -> None:
    fleet.apply(2, strategy="")
    fleet.says(*NAMES)
    owner.delete_image("digits:1")
    with pytest.raises(HubRefusedError, match="deleted since: digits:1"):
        fleet.shop.abort_rollout("line")
    assert fleet.on(2) == NAMES


def test_what_was_taken_back_to_nothing_uses_no_image(
    world: World, shop: Workspace, owner: Workspace
) -> None:
    fleet = Fleet(world, shop)
    fleet.apply(2, strategy="")
    fleet.shop.abort_rollout("line")
    fleet.tick()
    fleet.says(*NAMES)
    assert set(fleet.states().values()) == {"returned"}
    owner.delete_image("digits:2")


def test_a_wave_that_is_away_can_be_passed_over(fleet: Fleet) -> None:
    fleet.apply(2)
    fleet.tick()
    with later(fleet, 200):
        fleet.tick()
    assert fleet.states()["cam-1"] == "away"
    assert "1 are away" in fleet.shop.rollout("line").reason
    fleet.shop.pause_rollout("line")
    fleet.shop.resume_rollout("line")
    pass_bake(fleet)
    pass_bake(fleet)
    assert fleet.on(2) == NAMES[:3]


def test_the_list_of_rollouts_says_where_each_is(fleet: Fleet, headland: Command) -> None:
    fleet.apply(2)
    head, first, second = headland("rollout", "list").splitlines()[:3]
    assert head.split() == ["rollout", "images", "state", "devices", "by", "created"]
    assert first.split()[:5] == ["line:2", "digits:2", "running", "5", "pending"]
    assert second.split()[:5] == ["line:1", "digits:1", "done", "5", "running"]
