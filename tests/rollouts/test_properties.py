"""What holds for every rollout, whatever its rules are and whatever its devices do."""

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_hub.rollouts.strategy import StrategySpec, WaveSpec
from cloud_hub.rollouts.waves import Share
from tests.rollouts.fleet import Behaviour, Fleet, rules

LONG_S = 1200
ENDS = {"aborted", "done", "paused", "awaiting-approval"}

behaviours = st.builds(
    Behaviour,
    heard_after_s=st.one_of(st.none(), st.integers(0, 90)),
    ends_after_s=st.integers(0, 120),
    ends=st.sampled_from(["running", "running", "running", "failed"]),
)
shares = st.one_of(
    st.builds(Share, count=st.integers(0, 3)), st.builds(Share, percent=st.floats(0, 100, width=16))
)


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    sizes = draw(st.lists(st.integers(0, 4), min_size=1, max_size=4))
    waves = [[f"w{wave}d{number}" for number in range(size)] for wave, size in enumerate(sizes)]
    devices = [device for wave in waves for device in wave]
    asked = rules(
        at_once=draw(st.integers(1, 5)),
        per_minute=draw(st.integers(1, 5)),
        bake_s=draw(st.integers(0, 60)),
        deadline_s=draw(st.integers(1, 90)),
        away_s=draw(st.integers(1, 90)),
        failures=draw(shares),
        on_failure=draw(st.sampled_from(["abort", "pause"])),
        approvals=tuple(draw(st.sets(st.integers(0, 3), max_size=1))),
    )
    return Fleet(asked, waves, {device: draw(behaviours) for device in devices})


def failed(fleet: Fleet, wave: int) -> int:
    """Return how many of a wave have failed, by what they do alone."""
    found = 0
    for device, member in fleet.members.items():
        if member.wave != wave or member.phase != "moved" or member.moved_at is None:
            continue
        does, since_s = fleet.behaviours[device], (fleet.now - member.moved_at).total_seconds()
        if does.heard_after_s is None or since_s < does.heard_after_s:
            continue
        late = does.heard_after_s + fleet.rules.deadline_s < since_s < does.ends_after_s
        found += late or (since_s >= does.ends_after_s and does.ends == "failed")
    return found


def allowed(fleet: Fleet, wave: int) -> int:
    return fleet.rules.failures.of(len(fleet.waves[wave]))


@settings(max_examples=100, deadline=None)
@given(fleets())
def test_promises_of_a_rollout(fleet: Fleet) -> None:
    for _ in range(LONG_S):
        wave, stood = fleet.standing.wave, fleet.standing.state
        known_bad = [each for each in range(wave + 1) if failed(fleet, each) > allowed(fleet, each)]
        before = len(fleet.given)
        fleet.pass_time(1)
        if known_bad and stood in {"running", "awaiting-approval"}:
            assert len(fleet.given) == before, "given although too many had failed"
        lately = [at for at, _ in fleet.given if fleet.now - at < timedelta(minutes=1)]
        assert len(lately) <= fleet.rules.per_minute
        assert fleet.standing.wave >= wave, "a wave comes once"
        for device in fleet.members.values():
            assert device.phase == "pending" or device.wave <= fleet.standing.wave, "before its wave"
        if fleet.standing.state in ENDS:
            break
    state = fleet.standing.state
    moved = {device for _, device in fleet.given}
    if state == "aborted":
        assert set(fleet.taken_back) == moved
        assert set(fleet.phases().values()) <= {"pending", "returned"}
    else:
        assert fleet.taken_back == []
    if state == "done":
        assert moved == set(fleet.members)
        assert all(failed(fleet, each) <= allowed(fleet, each) for each in range(len(fleet.waves)))
    if state == "running":  # for ever only where nobody knows anything of the wave
        assert "running" not in {each.state for each in fleet.members.values() if each.wave == wave}


@settings(max_examples=100, deadline=None)
@given(fleets(), st.integers(0, 120))
def test_an_abort_at_any_time_takes_back_all_that_was_given_and_gives_nothing(
    fleet: Fleet, after_s: int
) -> None:
    fleet.pass_time(after_s)
    moved = {device for _, device in fleet.given}
    if fleet.standing.state not in {"aborted", "aborting"}:
        fleet.steer(state="aborting")
    fleet.pass_time(10)
    assert fleet.standing.state == "aborted"
    assert set(fleet.taken_back) == {device for _, device in fleet.given} == moved
    assert len(fleet.taken_back) == len(set(fleet.taken_back))


waves = st.lists(
    st.one_of(
        st.builds(lambda count: WaveSpec(count=count), count=st.integers(1, 20)),
        st.builds(lambda percent: WaveSpec(percent=percent), percent=st.floats(0.5, 100)),
        st.builds(
            lambda numbers: WaveSpec(devices=[f"d{number}" for number in numbers]),
            numbers=st.lists(st.integers(0, 19), min_size=1, max_size=5),
        ),
    ),
    max_size=6,
)


@given(waves, st.integers(1, 40))
def test_every_device_is_in_one_wave(asked: list[WaveSpec], number: int) -> None:
    devices = [f"d{each}" for each in range(max(20, number))]
    divided = StrategySpec(waves=asked).divide(devices)
    assert sorted(device for wave in divided for device in wave) == sorted(devices)
    assert len(divided) in {len(asked), len(asked) + 1}
    for spec, wave in zip(asked, divided, strict=False):
        assert spec.count is None or len(wave) <= spec.count
        assert spec.devices is None or set(wave) <= set(spec.devices)
