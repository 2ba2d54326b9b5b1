"""Rollouts that begin at a set time: the rules."""

from datetime import timedelta

from tests.rollouts.fleet import START, Fleet, rules


def test_nothing_is_given_before_it_is_to_begin_and_then_all_goes_as_ever() -> None:
    begins_at = START + timedelta(hours=2)
    fleet = Fleet(rules(begins_at=begins_at, approvals=(1,)), [["a"], ["b"]])
    fleet.pass_time(7199)
    assert (fleet.given, fleet.state) == ([], "running")
    assert fleet.standing.reason == "begins at 2026-01-01 02:00:00 UTC"
    fleet.pass_time(1)
    assert (fleet.given, fleet.standing.reason) == ([(begins_at, "a")], "")
    fleet.until(lambda: fleet.state == "awaiting-approval", 10)


def test_an_approval_of_the_first_wave_is_asked_when_it_is_to_begin() -> None:
    fleet = Fleet(rules(begins_at=START + timedelta(seconds=30), approvals=(0,)), [["a"]])
    fleet.pass_time(29)
    assert fleet.state == "running"
    fleet.pass_time(1)
    assert (fleet.state, fleet.given) == ("awaiting-approval", [])


def test_one_that_is_aborted_before_it_began_has_given_nothing() -> None:
    fleet = Fleet(rules(begins_at=START + timedelta(hours=2)), [["a"]])
    fleet.pass_time(5)
    fleet.steer(state="aborting")
    fleet.pass_time(7200)
    assert (fleet.state, fleet.given) == ("aborted", [])
