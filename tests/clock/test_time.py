"""What the agent knows of the time beside its clock: pure parts, at any time of the clock."""

from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest
from cronsim import CronSimError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.artifacts.flow import Flow, FlowRules
from agent.artifacts.windows import next_window, read_window
from agent.clock import EPOCH, TOLD_AT_ONCE, ClockSettings, Setting, WallClock, microseconds
from agent.identity.validity import validity
from agent.outbox.policy import Policies, StreamPolicy
from agent.outbox.sqlite import SqliteOutbox
from agent.reconcile.holding import Holding
from agent.transport.waits import LONGEST_S, wait_s
from agent.trust.floor import TimeFloor
from contract.desired import ImageRef, Module
from contract.lifecycle import Lifecycle, Window
from tests.clock.samples import put

DAY_S = 86_400
MODULE = Module(name="m", image=ImageRef(repository="w/m", digest="sha256:" + "0" * 64, name="m:1"))
KEY = ec.generate_private_key(ec.SECP256R1())
TIMES = st.datetimes(datetime(1969, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


class Clocks:
    """A wall clock that is set by hand, and one that only counts on; microseconds."""

    def __init__(self, wall: datetime) -> None:
        self.steady_us = 7_000_000
        self.wall_us = microseconds(wall)

    def pass_s(self, seconds: float) -> None:
        self.steady_us += int(seconds * 1e6)
        self.wall_us += int(seconds * 1e6)

    def set_by(self, seconds: float) -> None:
        self.wall_us += int(seconds * 1e6)

    def clock(self, **changed: int) -> WallClock:
        return WallClock(wall_us=lambda: self.wall_us, steady_us=lambda: self.steady_us, **changed)


@settings(max_examples=30)
@given(st.datetimes(datetime(1950, 1, 1), datetime(2300, 1, 1)))  # noqa: DTZ001
def test_the_beginning_of_a_certificate_is_read(begins: datetime) -> None:
    begins = begins.replace(microsecond=0)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x" * 60)])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(KEY.public_key())
    made = made.serial_number(1 << 150).not_valid_before(begins).not_valid_after(begins + timedelta(days=30))
    pem = made.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    assert validity(pem).begins == begins.replace(tzinfo=UTC)


@pytest.mark.parametrize("body", ["", "MAA=", "MIIB", "MIIBAA=="])
def test_what_is_no_certificate_says_so(body: str) -> None:
    with pytest.raises(ValueError, match=r"breaks off|something else"):
        validity(f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(-200 * DAY_S, 200 * DAY_S)), max_size=8))
def test_however_the_clock_is_set_nothing_is_taken_for_older_than_it_is(jumps: list[tuple[int, int]]) -> None:
    clocks = Clocks(datetime(2026, 3, 1, tzinfo=UTC))
    clock = clocks.clock()
    taken = []
    for passes_s, jump_s in jumps:
        taken.append((clocks.wall_us, clocks.steady_us))
        clocks.pass_s(passes_s)
        clock.set_by_s()
        clocks.set_by(jump_s)
        clock.set_by_s()
    for at_us, then_us in taken:
        slack_us = 5_000_000 * len(jumps)  # what is too little for a jump
        assert clock.age_us(at_us) <= clocks.steady_us - then_us + slack_us


def test_an_age_is_counted_across_a_jump_and_jumps_are_told() -> None:
    clocks = Clocks(EPOCH + timedelta(seconds=20))
    clock = clocks.clock()
    at_us = clocks.wall_us
    clocks.pass_s(60)
    assert clock.set_by_s() == 0
    clocks.set_by(20_000 * DAY_S)
    clocks.pass_s(30)
    assert clock.set_by_s() == pytest.approx(20_000 * DAY_S)
    assert clock.age_us(at_us) == 90_000_000
    assert clock.age_us(clocks.wall_us - 1_000_000) == 1_000_000
    clocks.set_by(2)
    assert clock.set_by_s() == pytest.approx(20_000 * DAY_S), "a correction is no jump"


def test_after_a_restart_a_time_before_the_certificate_is_no_age() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    clock = Clocks(now).clock(known_us=microseconds(now - timedelta(days=10)))
    assert clock.age_us(5_000_000) == 0
    assert clock.age_us(microseconds(now - timedelta(days=9))) == 9 * DAY_S * 1_000_000


@pytest.mark.parametrize("jump_s", [90 * DAY_S, 20_000 * DAY_S, -DAY_S])
def test_a_jump_of_the_clock_drops_no_sample_and_time_that_passes_does(tmp_path: Path, jump_s: int) -> None:
    clocks = Clocks(datetime(2026, 3, 1, tzinfo=UTC))
    policies = Policies(default=StreamPolicy(ttl_s=DAY_S))
    outbox = SqliteOutbox(
        tmp_path / "o.db", max_bytes=1 << 20, policies=policies, age_us=clocks.clock().age_us
    )
    put(outbox, "s", 1, clocks.wall_us)
    clocks.pass_s(60)
    outbox.expire()
    clocks.set_by(jump_s)
    outbox.expire()
    assert outbox.report().pending == 1
    clocks.pass_s(2 * DAY_S + 1)
    outbox.expire()
    assert outbox.report().pending == 0
    outbox.close()


def test_negative_control_by_the_clock_alone_a_jump_drops_samples(tmp_path: Path) -> None:
    clocks = Clocks(datetime(2026, 3, 1, tzinfo=UTC))
    policies = Policies(default=StreamPolicy(ttl_s=DAY_S))
    outbox = SqliteOutbox(
        tmp_path / "o.db", max_bytes=1 << 20, policies=policies, age_us=lambda at_us: clocks.wall_us - at_us
    )
    put(outbox, "s", 1, clocks.wall_us)
    clocks.set_by(90 * DAY_S)
    outbox.expire()
    assert outbox.report().pending == 0
    outbox.close()


def test_the_floor_grows_with_the_hubs_words_and_time_and_is_kept(tmp_path: Path) -> None:
    clocks, begin = Clocks(EPOCH), datetime(2026, 3, 1, tzinfo=UTC)

    def floor() -> TimeFloor:
        return TimeFloor(tmp_path / "time.json", begin, steady_us=lambda: clocks.steady_us)

    first = floor()
    assert first.now() == begin
    first.raise_to(begin + timedelta(days=3))
    first.raise_to(begin)
    clocks.pass_s(1800)
    first.keep()
    assert floor().now() == begin + timedelta(days=3), "half an hour is not worth a write"
    clocks.pass_s(1800)
    first.keep()
    clocks.steady_us = 0  # the machine starts again, in 1970
    assert floor().now() == begin + timedelta(days=3, hours=1)
    floor().lower_to(begin + timedelta(days=1))
    assert floor().now() == begin + timedelta(days=1)


def test_a_clock_that_is_surely_behind_says_nothing(tmp_path: Path) -> None:
    clocks, begin = Clocks(EPOCH), datetime(2026, 3, 1, tzinfo=UTC)
    wall = begin

    def floor() -> TimeFloor:
        return TimeFloor(tmp_path / "t.json", begin, steady_us=lambda: clocks.steady_us, wall=lambda: wall)

    one = floor()
    assert one.clock() == begin
    wall = begin - timedelta(minutes=9)
    assert one.clock() == wall, "the hub's may be that much ahead"
    wall = begin - timedelta(minutes=11)
    assert one.clock() is None
    wall = begin + timedelta(days=90)
    assert one.clock() == wall, "nobody can say that it is ahead"
    one.raise_to(begin + timedelta(days=100))
    assert one.clock() is None


def test_no_window_is_open_by_a_clock_that_is_surely_behind() -> None:
    at_three = datetime(1970, 1, 1, 3, 0, 20, tzinfo=UTC)
    module = replace(MODULE, lifecycle=Lifecycle(windows=(Window(cron="0 3 * * *", duration_s=3600),)))
    wanted = {"m": replace(module, env={"V": "2"})}

    def held(clock: datetime | None) -> dict[str, str]:
        holding = Holding(monotonic=lambda: 0.0, clock=lambda: clock)
        return holding.held(wanted, {"m": module}, (), Path)

    assert held(at_three) == {}, "the control: by the clock alone it is open"
    assert "the clock is wrong" in held(None)["m"]
    rules = FlowRules(windows=(read_window("03:00-04:00"),), utc=True)
    assert Flow(rules, now=lambda: at_three).closed() is None, "the control"
    assert Flow(rules, now=lambda: None).closed() is not None
    assert Flow(FlowRules(), now=lambda: None).closed() is None


def told(times: int, every_s: float, *, set_by_s: float = 90.0 * DAY_S) -> list[tuple[float, Setting]]:
    """Set a clock there and back so often; return what was told, and when."""
    clocks, found = Clocks(datetime(2026, 3, 1, tzinfo=UTC)), []
    settings = ClockSettings(clocks.clock().set_by_s, monotonic=lambda: clocks.steady_us / 1e6)
    began_us = clocks.steady_us
    for number in range(times):
        clocks.set_by(set_by_s if number % 2 == 0 else -set_by_s)
        for _ in range(int(every_s * 2)):
            if (setting := settings.look()) is not None:
                found.append(((clocks.steady_us - began_us) / 1e6, setting))
            clocks.pass_s(0.5)
    return found


def test_settings_of_the_clock_are_told_at_once_and_seldom() -> None:
    single = told(1, 300)
    assert [at_s for at_s, _ in single] == [0]
    assert single[0][1].times == 1
    assert single[0][1].seconds == pytest.approx(90 * DAY_S)
    rare = told(4, 300)
    assert [at_s for at_s, _ in rare] == [0, 300, 600, 900], "each at once"
    storm = told(3601, 1)
    assert len(storm) <= TOLD_AT_ONCE + 60, "of 3,600 in an hour"
    assert sum(setting.times for _, setting in storm) >= 3600 - 60, "none is forgotten"


def test_negative_control_each_setting_is_a_storm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.clock.TOLD_AT_ONCE", 10**9)
    assert len(told(600, 1)) == 600


@given(st.lists(st.integers(1, 400), min_size=1, max_size=30))
def test_the_last_setting_is_told_within_a_minute(waits: list[int]) -> None:
    clocks = Clocks(datetime(2026, 3, 1, tzinfo=UTC))
    settings = ClockSettings(clocks.clock().set_by_s, monotonic=lambda: clocks.steady_us / 1e6)
    told_s = 0.0
    for passes_s in [*waits, 61]:
        clocks.set_by(DAY_S)
        for _ in range(passes_s):
            if (setting := settings.look()) is not None:
                told_s += setting.seconds
            clocks.pass_s(1)
    assert told_s == pytest.approx(DAY_S * (len(waits) + 1))


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"at":"2026-01-01T00:00:00"}', b"\xff"])
def test_a_floor_that_cannot_be_read_is_as_low_as_the_certificate(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "time.json").write_bytes(damage)
    assert TimeFloor(tmp_path / "time.json", EPOCH, steady_us=lambda: 0).now() == EPOCH


def test_a_floor_that_cannot_be_written_holds_all_the_same(tmp_path: Path) -> None:
    floor = TimeFloor(tmp_path / "gone" / "time.json", EPOCH, steady_us=lambda: 0)
    floor.raise_to(EPOCH + timedelta(days=1))
    assert floor.now() == EPOCH + timedelta(days=1)


@given(TIMES, st.sampled_from(["0 3 * * *", "*/5 * * * 1", "0 0 29 2 *", "30 1 1 * *"]))
@settings(max_examples=60, deadline=None)
def test_windows_are_told_at_any_time(now: datetime, cron: str) -> None:
    for zone in ("UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"):
        try:
            Window(cron=cron, duration_s=7200, time_zone=zone).is_open(now)
        except CronSimError:
            raise AssertionError("a window that was told yesterday") from None
    assert next_window((read_window("22:00-04:00"),), now.time()) is None or now.time() < time(22)


@given(st.floats(0, 1e6), st.floats(0, 1))
def test_a_wait_is_short_after_a_short_absence_and_never_long(away_s: float, chance: float) -> None:
    found = wait_s(away_s, chance)
    assert 1 <= found <= LONGEST_S
    assert found <= max(3, away_s / 3)


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_tries_are_no_storm(chance: float) -> None:
    away_s, tries = 0.0, 0
    while away_s < 3600:
        away_s += wait_s(away_s, chance)
        tries += 1
    assert tries <= 240
