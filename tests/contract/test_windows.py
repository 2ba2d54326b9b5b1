"""Maintenance windows."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfoNotFoundError

import pytest

from contract.lifecycle import Lifecycle, Window


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


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
    # On the night whose clocks go from 2:00 to 3:00 it opens once, at 3:00.
    skipped = Window(cron="30 2 * * *", duration_s=60, time_zone="Europe/Paris")
    night = at("2026-03-29T00:00:00+00:00")
    opens = [minute for minute in range(6 * 60) if skipped.is_open(night + timedelta(minutes=minute))]
    assert opens == [60]


def test_a_window_beyond_midnight_and_one_of_a_zone_that_nobody_knows() -> None:
    assert Window(cron="30 23 * * *", duration_s=3600).is_open(at("2026-05-10T00:15:00+00:00"))
    with pytest.raises(ZoneInfoNotFoundError, match="Mars/Base"):
        Window(cron="* * * * *", duration_s=60, time_zone="Mars/Base").is_open(datetime.now(UTC))


def test_without_windows_a_module_may_always_be_changed() -> None:
    never = Window(cron="0 0 29 2 *", duration_s=60)
    assert Lifecycle().may_change(datetime.now(UTC))
    assert not Lifecycle(windows=(never,)).may_change(datetime.now(UTC))
    assert Lifecycle(windows=(never, Window(cron="* * * * *", duration_s=60))).may_change(datetime.now(UTC))
