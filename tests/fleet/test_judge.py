"""The judge of a storm, on stories that were written by hand."""

from simulators.fleet.figures import spread
from simulators.fleet.journal import Story
from simulators.fleet.judge import most_in, percentile, storm_faults


def story(tried: list[float], connected: list[float], lost: list[float]) -> Story:
    return Story(device="cam-1", tried_at=tried, connected_at=connected, lost_at=lost, failures={})


def test_the_fullest_second_is_found_wherever_it_begins() -> None:
    assert most_in([]) == 0
    assert most_in([1.0, 5.0, 9.0]) == 1
    assert most_in([0.9, 1.1, 1.5, 1.85, 3.0]) == 4
    assert most_in([0.0, 1.0, 2.0]) == 2


def test_who_comes_back_in_time_and_in_patience_is_without_fault() -> None:
    assert storm_faults([story([0, 11, 13], [0.1, 13.1], [10.0])], 10.0) == []
    assert storm_faults([story([0], [0.1], [])], 10.0) == [], "it never lost its connection"


def test_what_came_before_is_not_judged() -> None:
    assert storm_faults([story([0, 0.1, 0.2, 0.3, 0.4], [0.5], [])], 10.0) == []


def test_planted_faults_are_found() -> None:
    (away,) = storm_faults([story([0, 11], [0.1], [10.0])], 10.0)
    (never,) = storm_faults([story([0], [], [])], 10.0)
    assert away == never == "cam-1 is not connected"
    (late,) = storm_faults([story([0, 71], [0.1, 71.5], [10.0])], 10.0)
    assert late == "cam-1 was connected after 61.5 s"
    (hasty,) = storm_faults([story([0, 11, 11.3, 11.6, 11.9], [0.1, 12], [10.0])], 10.0)
    assert hasty == "cam-1 tried 4 times in one second"


def test_percentiles_are_values_that_were_there() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert percentile([7.0], 0.5) == 7
    assert spread([]) is None
