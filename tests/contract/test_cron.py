"""Times that come again, and maintenance windows."""

from datetime import UTC, datetime, timedelta

import pytest

from contract.cron import parse_cron
from contract.errors import ContractError
from contract.lifecycle import Lifecycle, Window


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("cron", "yes", "no"),
    [
        ("* * * * *", "2026-01-01T00:00", None),
        ("30 2 * * *", "2026-05-09T02:30", "2026-05-09T02:31"),
        ("*/15 * * * *", "2026-05-09T02:45", "2026-05-09T02:44"),
        ("5/20 * * * *", "2026-05-09T02:25", "2026-05-09T02:20"),
        ("0 9-17/4 * * *", "2026-05-09T13:00", "2026-05-09T14:00"),
        ("0 0 * * sun", "2026-11-29T00:00", "2026-11-30T00:00"),
        ("0 0 * * 7", "2026-11-29T00:00", "2026-11-28T00:00"),
        ("0 0 * * mon-fri", "2026-11-30T00:00", "2026-11-29T00:00"),
        ("0 0 1,15 feb,mar *", "2026-02-15T00:00", "2026-04-15T00:00"),
        # Both days limited: one is enough (crontab(5)).
        ("0 0 13 * fri", "2026-11-27T00:00", "2026-11-26T00:00"),
        ("0 0 13 * fri", "2026-10-13T00:00", "2026-10-14T00:00"),
    ],
)
def test_a_minute_is_one_of_the_times_or_not(cron: str, yes: str, no: str | None) -> None:
    assert parse_cron(cron).matches(at(yes))
    assert no is None or not parse_cron(cron).matches(at(no))


@pytest.mark.parametrize(
    "cron",
    ["", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "5-1 * * * *",
     "*/0 * * * *", "a * * * *", "-1 * * * *", "1- * * * *", "1,,2 * * * *", "* * * * mon-", "@daily",
     "٣ * * * *", "100 * * * *"],
)  # fmt: skip
def test_what_is_no_time_is_refused(cron: str) -> None:
    with pytest.raises(ContractError):
        parse_cron(cron)


def test_a_window_is_open_from_its_minute_for_its_length() -> None:
    window = Window(cron="30 2 * * *", duration_s=3600)
    opens = at("2026-05-09T02:30:00+00:00")
    for seconds, is_open in ((-1, False), (0, True), (3599, True), (3600, False)):
        assert window.is_open(opens + timedelta(seconds=seconds)) is is_open


def test_a_window_goes_by_the_clock_of_its_zone_in_summer_and_winter() -> None:
    window = Window(cron="0 2 * * *", duration_s=60, time_zone="Europe/Paris")
    assert window.is_open(at("2026-01-10T01:00:00+00:00"))
    assert window.is_open(at("2026-07-10T00:00:00+00:00"))
    assert not window.is_open(at("2026-07-10T01:00:00+00:00"))
    skipped = Window(cron="30 2 * * *", duration_s=60, time_zone="Europe/Paris")
    night = at("2026-03-29T00:00:00+00:00")
    assert not any(skipped.is_open(night + timedelta(minutes=minute)) for minute in range(6 * 60))


def test_a_window_beyond_midnight_and_one_of_a_zone_that_nobody_knows() -> None:
    assert Window(cron="30 23 * * *", duration_s=3600).is_open(at("2026-05-10T00:15:00+00:00"))
    assert not Window(cron="* * * * *", duration_s=60, time_zone="Mars/Base").is_open(datetime.now(UTC))


def test_without_windows_a_module_may_always_be_changed() -> None:
    never = Window(cron="0 0 30 2 *", duration_s=60)
    assert Lifecycle().may_change(datetime.now(UTC))
    assert not Lifecycle(windows=(never,)).may_change(datetime.now(UTC))
    assert Lifecycle(windows=(never, Window(cron="* * * * *", duration_s=60))).may_change(datetime.now(UTC))
