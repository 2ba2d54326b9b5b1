"""The rules of rollouts, one after the other."""

from datetime import timedelta

import pytest

from cloud_hub.rollouts.waves import Share
from tests.rollouts.fleet import BAD, SILENT, Behaviour, Fleet, rules

SLOW = Behaviour(ends_after_s=20)
STUCK = Behaviour(ends_after_s=10**9)
COMES_BACK = Behaviour(heard_after_s=200, ends_after_s=202)


def given(fleet: Fleet) -> list[str]:
    return [device for _, device in fleet.given]


def test_one_wave_at_once() -> None:
    fleet = Fleet(rules(), [["a", "b", "c"]])
    fleet.pass_time(5)
    assert given(fleet) == ["a", "b", "c"]
    assert fleet.state == "done"


def test_a_wave_comes_after_the_one_before_it_is_well() -> None:
    fleet = Fleet(rules(), [["a"], ["b", "c"]], {"a": SLOW})
    fleet.pass_time(19)
    assert given(fleet) == ["a"]
    fleet.pass_time(1)
    assert given(fleet) == ["a", "b", "c"]
    fleet.until(lambda: fleet.state == "done")


def test_a_wave_is_watched_for_the_bake_time() -> None:
    fleet = Fleet(rules(bake_s=30), [["a"], ["b"]])
    fleet.until(lambda: "b" in given(fleet))
    (first, _), (second, _) = fleet.given
    assert timedelta(seconds=32) <= second - first <= timedelta(seconds=33)
    fleet.until(lambda: fleet.state == "done")
    assert fleet.now - second >= timedelta(seconds=32)


def test_a_device_that_fails_while_its_wave_is_watched_counts() -> None:
    fleet = Fleet(rules(bake_s=30), [["a"], ["b"]])
    fleet.pass_time(10)
    fleet.behaviours = {"a": BAD}
    fleet.pass_time(1)
    assert fleet.state == "aborted"
    assert given(fleet) == ["a"]


def test_a_device_that_fails_when_its_wave_is_over_counts() -> None:
    fleet = Fleet(rules(bake_s=30), [["a"], ["b"], ["c"]])
    fleet.until(lambda: "b" in given(fleet))
    fleet.behaviours = {"a": BAD}
    fleet.pass_time(5)
    assert fleet.state == "aborted"
    assert sorted(fleet.taken_back) == ["a", "b"]


def test_too_many_failures_take_back_what_was_moved_and_nothing_else() -> None:
    fleet = Fleet(rules(), [["a", "b"], ["c", "d"]], {"b": BAD})
    fleet.pass_time(10)
    assert fleet.state == "aborted"
    assert fleet.standing.reason == "wave 1: 1 of 2 devices failed, 0 may (b: failed)"
    assert fleet.phases() == {"a": "returned", "b": "returned", "c": "pending", "d": "pending"}


@pytest.mark.parametrize(
    ("allowed", "restarts", "state"),
    [(1, 1, "done"), (1, 2, "aborted"), (0, 1, "aborted"), (None, 9, "done")],
)
def test_a_device_whose_modules_restart_too_often_has_failed(
    allowed: int | None, restarts: int, state: str
) -> None:
    fleet = Fleet(rules(bake_s=30, restarts=allowed), [["a"], ["b"]])
    fleet.pass_time(5)
    fleet.set("a", restarts=restarts)
    fleet.pass_time(100)
    assert fleet.state == state
    if state == "aborted":
        said = f"(a: its modules restarted {restarts} times, {allowed} may be)"
        assert fleet.standing.reason == f"wave 1: 1 of 1 devices failed, 0 may {said}"


def test_or_only_pause() -> None:
    fleet = Fleet(rules(on_failure="pause"), [["a", "b"], ["c"]], {"b": BAD})
    fleet.pass_time(1000)
    assert fleet.state == "paused"
    assert fleet.phases() == {"a": "moved", "b": "moved", "c": "pending"}


@pytest.mark.parametrize(
    ("share", "bad", "state"),
    [
        (Share(count=1), 1, "done"),
        (Share(count=1), 2, "aborted"),
        (Share(percent=20), 2, "done"),
        (Share(percent=20), 3, "aborted"),
        (Share(percent=19.9), 2, "aborted"),
    ],
)
def test_so_many_failures_are_allowed(share: Share, bad: int, state: str) -> None:
    devices = [f"d{number}" for number in range(10)]
    fleet = Fleet(rules(failures=share), [devices], dict.fromkeys(devices[:bad], BAD))
    fleet.pass_time(10)
    assert fleet.state == state


def test_a_share_is_of_its_wave_and_not_of_all() -> None:
    devices = [f"d{number}" for number in range(100)]
    fleet = Fleet(rules(failures=Share(percent=5)), [["canary"], devices], {"canary": BAD})
    fleet.pass_time(10)
    assert fleet.state == "aborted"
    assert given(fleet) == ["canary"]


def test_a_device_that_was_heard_of_and_does_not_settle_has_failed() -> None:
    fleet = Fleet(rules(deadline_s=60), [["a"], ["b"]], {"a": STUCK})
    fleet.pass_time(60)
    assert fleet.state == "running"
    fleet.pass_time(2)
    assert fleet.state == "aborted"
    assert "a: does not run it for 60 s" in fleet.standing.reason


def test_a_device_that_is_away_holds_up_nobody() -> None:
    fleet = Fleet(rules(away_s=30), [["a", "gone"], ["b"]], {"gone": SILENT})
    fleet.pass_time(30)
    assert given(fleet) == ["a", "gone"]
    fleet.pass_time(2)
    assert given(fleet) == ["a", "gone", "b"]
    fleet.until(lambda: fleet.state == "done")


def test_of_a_wave_that_is_all_away_nothing_is_known() -> None:
    fleet = Fleet(rules(away_s=30), [["gone", "too"], ["b"]], {"gone": SILENT, "too": COMES_BACK})
    fleet.pass_time(100)
    assert given(fleet) == ["gone", "too"]
    assert fleet.standing.reason == "wave 1: none of its devices runs it, 2 are away"
    fleet.pass_time(110)
    assert fleet.state == "done"
    assert fleet.standing.reason == ""


def test_one_that_comes_back_has_its_time_from_then_on() -> None:
    late = Behaviour(heard_after_s=200, ends_after_s=250)
    fleet = Fleet(rules(away_s=30, deadline_s=60, bake_s=300), [["a", "late"]], {"late": late})
    fleet.until(lambda: fleet.members["late"].state == "running")
    assert fleet.state == "running"
    fleet.until(lambda: fleet.state == "done")


def test_one_that_comes_back_and_does_not_settle_has_failed() -> None:
    late = Behaviour(heard_after_s=200, ends_after_s=10**9)
    fleet = Fleet(rules(away_s=30, deadline_s=60, bake_s=300), [["a", "late"]], {"late": late})
    fleet.pass_time(260)
    assert fleet.state == "running"
    fleet.pass_time(2)
    assert fleet.state == "aborted"


def test_so_many_change_at_once() -> None:
    devices = [f"d{number}" for number in range(7)]
    fleet = Fleet(rules(at_once=3), [devices])
    fleet.settle()
    assert given(fleet) == devices[:3]
    fleet.pass_time(2)
    assert given(fleet) == devices[:6]
    fleet.pass_time(2)
    assert given(fleet) == devices


def test_so_many_begin_in_a_minute() -> None:
    devices = [f"d{number}" for number in range(5)]
    fleet = Fleet(rules(per_minute=2), [devices])
    fleet.pass_time(59)
    assert given(fleet) == devices[:2]
    fleet.pass_time(1)
    assert given(fleet) == devices[:4]
    fleet.pass_time(60)
    assert given(fleet) == devices


def test_one_that_is_away_takes_no_place_of_those_that_change() -> None:
    fleet = Fleet(rules(at_once=1, away_s=30), [["gone", "a"]], {"gone": SILENT})
    fleet.pass_time(29)
    assert given(fleet) == ["gone"]
    fleet.pass_time(2)
    assert given(fleet) == ["gone", "a"]


def test_a_wave_waits_for_its_approval() -> None:
    fleet = Fleet(rules(approvals=(1,)), [["a"], ["b"]])
    fleet.pass_time(100)
    assert (fleet.standing.state, given(fleet)) == ("awaiting-approval", ["a"])
    assert fleet.standing.reason == "wave 2 waits for an Owner's approval"
    fleet.steer(approved=1)
    fleet.pass_time(1)
    assert given(fleet) == ["a", "b"]


def test_the_first_wave_may_wait_too() -> None:
    fleet = Fleet(rules(approvals=(0,)), [["a"]])
    fleet.pass_time(100)
    assert (fleet.standing.state, given(fleet)) == ("awaiting-approval", [])


def test_what_fails_while_an_approval_is_awaited_ends_it() -> None:
    fleet = Fleet(rules(approvals=(1,)), [["a"], ["b"]])
    fleet.pass_time(10)
    fleet.behaviours = {"a": BAD}
    fleet.pass_time(1)
    assert fleet.state == "aborted"


@pytest.mark.parametrize("state", ["paused", "aborted", "done", "superseded"])
def test_what_rests_does_nothing_by_itself(state: str) -> None:
    fleet = Fleet(rules(), [["a"], ["b"]])
    fleet.steer(state=state)
    fleet.pass_time(100)
    assert (fleet.standing.state, given(fleet), fleet.taken_back) == (state, [], [])


def test_what_was_excused_counts_no_more_and_is_taken_back_all_the_same() -> None:
    fleet = Fleet(rules(on_failure="pause"), [["a"], ["b"]], {"a": BAD})
    fleet.pass_time(10)
    assert fleet.state == "paused"
    fleet.set("a", excused=True)
    fleet.steer(state="running")
    fleet.pass_time(10)
    assert fleet.state == "done"
    fleet.steer(state="aborting")
    fleet.pass_time(1)
    assert sorted(fleet.taken_back) == ["a", "b"]


def test_what_another_rollout_took_is_left_to_it() -> None:
    fleet = Fleet(rules(), [["a", "b"], ["c", "d"]])
    fleet.pass_time(1)
    fleet.set("a", state="superseded")
    fleet.set("c", phase="left")
    fleet.pass_time(10)
    assert (fleet.standing.state, given(fleet)) == ("done", ["a", "b", "d"])
    fleet.steer(state="aborting")
    fleet.pass_time(1)
    assert sorted(fleet.taken_back) == ["b", "d"]


def test_a_wave_of_which_all_were_taken_is_over() -> None:
    fleet = Fleet(rules(bake_s=1000), [["a"], ["b"], [], ["c"]])
    fleet.settle()
    fleet.set("a", state="superseded")
    fleet.set("b", phase="left")
    fleet.until(lambda: "c" in given(fleet), within_s=1100)


def test_an_abort_before_anything_was_given_ends_at_once() -> None:
    fleet = Fleet(rules(), [["a"]])
    fleet.steer(state="aborting")
    fleet.settle()
    assert (fleet.standing.state, fleet.taken_back) == ("aborted", [])


def test_only_some_of_many_failures_are_told() -> None:
    devices = [f"d{number}" for number in range(6)]
    fleet = Fleet(rules(), [devices], dict.fromkeys(devices, BAD))
    fleet.pass_time(10)
    assert fleet.standing.reason == (
        "wave 1: 6 of 6 devices failed, 0 may (d0: failed; d1: failed; d2: failed; and 3 more)"
    )


def test_one_that_ran_it_and_is_restarted_has_its_deadline_anew() -> None:
    fleet = Fleet(rules(bake_s=1000, deadline_s=60), [["a"], ["b"]])
    fleet.pass_time(500)
    fleet.behaviours = {"a": STUCK}
    fleet.pass_time(50)
    assert fleet.state == "running"
    fleet.behaviours = {}
    fleet.pass_time(500)
    assert given(fleet) == ["a", "b"], "and its wave's bake time went on"
    fleet.behaviours = {"b": STUCK}
    fleet.pass_time(70)
    assert fleet.state == "aborted"


def test_one_that_goes_away_in_the_middle_is_away_and_not_late() -> None:
    gone = Behaviour(ends_after_s=10**9, silent_after_s=20)
    fleet = Fleet(rules(away_s=30, deadline_s=60), [["a", "gone"], ["b"]], {"gone": gone})
    fleet.pass_time(200)
    assert fleet.state == "done"


def test_one_that_comes_back_late_is_watched_for_the_whole_bake_time() -> None:
    late = Behaviour(heard_after_s=100, ends_after_s=105)
    fleet = Fleet(rules(away_s=30, bake_s=100), [["a", "late"], ["b"]], {"late": late})
    fleet.pass_time(204)
    assert given(fleet) == ["a", "late"]
    fleet.pass_time(5)
    assert given(fleet) == ["a", "late", "b"]


def test_one_whose_modules_wait_for_their_window_is_not_late() -> None:
    waits = Behaviour(ends_after_s=500, before="deferred")
    fleet = Fleet(rules(deadline_s=60), [["a"], ["b"]], {"a": waits})
    fleet.pass_time(499)
    assert (fleet.state, given(fleet)) == ("running", ["a"])
    fleet.pass_time(10)
    assert fleet.state == "done"


def test_a_wave_of_which_all_failed_as_they_may_is_over() -> None:
    fleet = Fleet(rules(failures=Share(count=1)), [["a"], ["b"]], {"a": BAD})
    fleet.pass_time(10)
    assert (fleet.state, given(fleet)) == ("done", ["a", "b"])


@pytest.mark.parametrize("phase", ["pending", "moved"])
def test_a_revoked_device_holds_up_nobody_and_is_given_nothing(phase: str) -> None:
    fleet = Fleet(rules(), [["a"], ["b"]], {"a": SILENT})
    if phase == "moved":
        fleet.settle()
    fleet.set("a", state="revoked")
    fleet.pass_time(10)
    assert fleet.state == "done"
    assert given(fleet) == (["a", "b"] if phase == "moved" else ["b"])
    fleet.steer(state="aborting")
    fleet.pass_time(1)
    assert fleet.taken_back == ["b"]


def test_a_share_is_of_those_that_are_left() -> None:
    fleet = Fleet(rules(failures=Share(percent=50)), [["a", "b", "c", "d"]], {"a": BAD, "b": BAD})
    for device in ("c", "d"):
        fleet.set(device, phase="left")
    fleet.pass_time(10)
    assert fleet.state == "aborted"
