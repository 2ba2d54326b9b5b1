"""Scenario files: the example is valid, every fault is told, devices are dealt out by lot and repeatably."""

from pathlib import Path
from random import Random

import pytest

from simulators.fleet.errors import ScenarioError
from simulators.fleet.link import Link, let_live
from simulators.fleet.profiles import PROFILES, Cut, Profile
from simulators.fleet.scenario import crews, read_scenario
from tests.docs.pages import marked_blocks, page, rows_under
from tests.fleet.virtual import VirtualTimers

NAMES = [f"sim-{number:05d}" for number in range(1, 101)]


def written(folder: Path, text: str) -> Path:
    path = folder / "scenario.yaml"
    path.write_text(text)
    return path


def groups(text: str) -> str:
    return f"apiVersion: headland/v1\nkind: FleetScenario\ngroups:\n{text}"


def test_the_example_of_the_page_is_dealt_out_as_it_says(tmp_path: Path) -> None:
    (text,) = marked_blocks(page("fleet-simulator.md"), "scenario")
    dealt = crews(read_scenario(written(tmp_path, text)), NAMES, 1)
    assert {crew.group: len(crew.devices) for crew in dealt} == {"shaky": 20, "trucks": 10, "always-on": 70}
    assert sorted(name for crew in dealt for name in crew.devices) == NAMES
    assert dealt[0].profile == PROFILES["flapping"]
    assert dealt[1].profile.cuts == (Cut(at_s=60, for_s=30, share=0.5),)
    assert dealt == crews(read_scenario(written(tmp_path, text)), NAMES, 1)
    assert dealt != crews(read_scenario(written(tmp_path, text)), NAMES, 2)


def test_the_page_names_every_profile() -> None:
    assert set(rows_under(page("fleet-simulator.md"), "profile")) == set(PROFILES)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("groups: [", "line 1: it is not YAML"),
        ("- a", "it is no mapping"),
        (groups("  []").replace("v1", "v2"), "apiVersion must be headland/v1"),
        (groups("  - {name: a, share: 0.5}") + "\nmore: 1", "more: unknown key"),
        (groups("  - {name: a}"), "groups[0]: Object missing required field `share`"),
        (groups("  - {name: a, share: 1.5}"), "groups[0]: Expected `float` <= 1.0 - at `$.share`"),
        (groups("  - {name: a, share: 0.5, upp: 1}"), "groups[0]: Object contains unknown field `upp`"),
        (groups("  - {name: a, share: 0.5, profile: lazy}"), "group a: no profile lazy; there are always-on"),
        (groups("  - {name: a, share: 0.5}\n  - {name: a, share: 0.1}"), "group a stands twice"),
        (
            groups("  - {name: a, share: 0.6}\n  - {name: b, share: 0.6}"),
            "the shares are more than 1 together",
        ),
    ],
)
def test_each_fault_is_told(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ScenarioError) as raised:
        read_scenario(written(tmp_path, text))
    assert told in str(raised.value)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    text = groups("  - {name: a}\n  - {name: b, share: 0.5, profile: lazy}\n  - {name: C, share: 1}")
    with pytest.raises(ScenarioError) as raised:
        read_scenario(written(tmp_path, text))
    assert all(word in str(raised.value) for word in ("groups[0]", "profile lazy", "groups[2]"))


def moments(profile: Profile, seconds: int) -> list[bool]:
    """Return whether the link is up, second by second."""
    timers, link = VirtualTimers(), Link()
    let_live(link, profile, timers, Random(1))
    found = []
    for _ in range(seconds):
        timers.run(1)
        found.append(link.up)
    return found


def test_a_flapping_link_is_down_about_half_the_time_and_a_steady_one_never() -> None:
    assert all(moments(PROFILES["always-on"], 600))
    up = moments(PROFILES["flapping"], 2000)
    assert 0.4 < sum(up) / len(up) < 0.6
    assert up[:15] == [True] * 15


def test_what_is_cut_and_asleep_is_up_only_when_both_are_over() -> None:
    profile = Profile(up_s=(10, 10), down_s=(10, 10), cuts=(Cut(at_s=5, for_s=30),))
    up = moments(profile, 60)
    assert not any(up[5:34]), "cut"
    assert not any(up[34:39]), "asleep"
    assert all(up[40:48])
