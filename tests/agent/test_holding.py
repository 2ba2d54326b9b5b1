"""Changes that have to wait: windows, deferrals, locks."""

import fcntl
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from agent.reconcile.holding import Holding, is_locked
from contract.agent_api import UPDATE_LOCK
from contract.desired import Module
from contract.lifecycle import Lifecycle, Window
from tests.agent.test_planner import V1, V2, seen

NIGHT = Window(cron="0 2 * * *", duration_s=3600)


class Clock:
    """Both clocks of a device, set by hand."""

    def __init__(self) -> None:
        self.monotonic_s = 0.0
        self.now = datetime(2026, 5, 9, 12, tzinfo=UTC)

    def holding(self) -> Holding:
        return Holding(monotonic=lambda: self.monotonic_s, clock=lambda: self.now)


def held(holding: Holding, target: Module | None, folder: Path = Path("/none")) -> dict[str, str]:
    wanted = {"digits": target} if target is not None else {}
    return holding.held(wanted, {"digits": V1}, [seen(V1, "ready")], lambda _: folder)


def living(version: Module, **life: object) -> Module:
    return msgspec.structs.replace(version, lifecycle=Lifecycle(**life))  # type: ignore[arg-type]


def test_a_change_waits_for_its_window() -> None:
    clock = Clock()
    holding, target = clock.holding(), living(V2, windows=(NIGHT,))
    assert held(holding, target) == {"digits": "waits for its maintenance window"}
    clock.now = clock.now.replace(hour=2, minute=30)
    assert held(holding, target) == {}
    assert held(holding, V2) == {}


def test_a_window_that_cannot_be_told_holds_and_says_so() -> None:
    target = living(V2, windows=(msgspec.structs.replace(NIGHT, time_zone="Mars/Base"),))
    assert (
        "cannot be told here: 'No time zone found with key Mars/Base'"
        in held(Clock().holding(), target)["digits"]
    )


def test_nothing_is_held_where_nothing_is_to_change() -> None:
    assert held(Clock().holding(), living(V1, windows=(NIGHT,))) == {}


def test_a_deferral_is_bounded_by_the_owner_from_when_the_change_was_known() -> None:
    clock = Clock()
    holding, target = clock.holding(), living(V2, longest_deferral_s=100.0)
    assert holding.defer(V2, 50) == 0, "the owner allows none"
    assert held(holding, V2) == {}
    assert held(holding, target) == {}
    clock.monotonic_s = 30
    assert holding.defer(target, 500) == 70
    assert held(holding, target) == {"digits": "put off by the module"}
    clock.monotonic_s = 99
    assert held(holding, target) == {"digits": "put off by the module"}
    clock.monotonic_s = 100
    assert held(holding, target) == {}
    assert holding.defer(target, 10) == 0


def test_a_deferral_is_taken_back_and_counts_anew_for_another_change() -> None:
    clock = Clock()
    holding, target = clock.holding(), living(V2, longest_deferral_s=100.0)
    held(holding, target)
    holding.defer(target, 50)
    holding.defer(target, 0)
    assert held(holding, target) == {}
    clock.monotonic_s = 90
    other = msgspec.structs.replace(target, env={"A": "1"})
    held(holding, other)
    assert holding.defer(other, 500) == 100


def test_a_lock_on_a_file_holds_for_as_long_as_the_owner_allows(tmp_path: Path) -> None:
    clock = Clock()
    holding, target = clock.holding(), living(V2, longest_deferral_s=100.0)
    assert held(holding, target, tmp_path) == {}
    with (tmp_path / UPDATE_LOCK).open("w") as file:
        assert held(holding, target, tmp_path) == {}, "a file alone holds nothing"
        fcntl.flock(file, fcntl.LOCK_EX)
        assert held(holding, target, tmp_path) == {"digits": "put off by the module"}
        assert held(holding, V2, tmp_path) == {}, "the owner allows none"
        held(holding, target, tmp_path)
        clock.monotonic_s = 101
        assert held(holding, target, tmp_path) == {}
    assert not is_locked(tmp_path / UPDATE_LOCK)
