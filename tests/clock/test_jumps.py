"""A clock that is set again and again while the daemon pulls, waits, restarts and reports (FAULTS 17).

Judged from outside: processes, sockets, what the broker and the registry were asked, what systemd was told.
"""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contract.lifecycle import Lifecycle, Probe, Window
from simulators.wrong_clock import why_not
from tests.clock.jumping import (
    AT_EACH,
    BY_THE_CLOCK,
    DAY_S,
    PAYLOAD_BYTES,
    RATE,
    WATCHDOG_S,
    Jumping,
    gaps,
)
from tests.e2e.waiting import wait_until
from tests.faults.conftest import folder
from tests.machine.test_metrics import scrape

__all__ = ["folder"]
pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())

AT_ONCE = 6
"""Hellos that a clock which is set all the time may cause at once; then one a minute."""
HOUR_S = 3600.0
TOOK_LONG = ("is not here after", "is too slow")
Make = Callable[..., Jumping]


@pytest.fixture
def make(folder: Path) -> Iterator[Make]:
    """A maker of one device."""
    made: list[Jumping] = []

    def one(**named: str) -> Jumping:
        made.append(Jumping(folder, **named))
        return made[-1]

    yield one
    for each in made:
        each.close()


def restarts(rig: Jumping, module: str, times: int) -> list[float]:
    """Kill a module's container each time that it runs; return how long each took to be there again."""
    found = []
    for _ in range(times):
        before = {name for name in rig.processes().values() if name.startswith(f"{module}-")}
        rig.kill_one(module)
        began = time.monotonic()
        wait_until(
            lambda before=before: any(  # type: ignore[misc]
                name.startswith(f"{module}-") and name not in before for name in rig.processes().values()
            ),
            "it is started again",
        )
        found.append(time.monotonic() - began)
    return found


def print_much(rig: Jumping, begin: int) -> None:
    """Print more than one part of a log holds, as the module would."""
    with (rig.home("b") / "log").open("ab") as log:
        for number in range(begin, begin + 1500):
            log.write(b"line %06d\n" % number)


def test_pulls_restarts_logs_and_pings_go_on_at_their_own_pace(make: Make) -> None:
    rig = make()
    rig.lives = {"b": Lifecycle(liveness=Probe(file="alive", period_s=1, failures=5))}
    with rig.writes_alive("b"):
        rig.first()
        before = rig.processes()
        rig.jump_all()
        assert rig.processes() == before, "nothing is stopped or started by it"
        with rig.jumps():
            began = time.monotonic()
            rig.apply(2, 2)
            rig.settled()
            assert time.monotonic() - began > 0.8 * PAYLOAD_BYTES / RATE, "the bound on the line holds"
            print_much(rig, 0)
            wait_until((rig.home("b") / "log.1").exists, "its log is rotated")
            print_much(rig, 1500)
            first, second = restarts(rig, "a", 2)
        assert "does not live" not in rig.daemon.log
    assert first > 0.9
    assert second > 1.8
    printed = rig.device.run("logs", "b", "--lines", "5000").stdout.split()[1::2]
    assert printed == sorted(printed)
    assert printed[-1] == "002999"
    assert not [words for words in TOOK_LONG if words in rig.daemon.log]
    assert max(gaps(rig.pings)) < WATCHDOG_S
    assert rig.alive()
    assert rig.daemon.log.count("driver: process") == 1
    wait_until(lambda: "does not live" in rig.daemon.log, "the control: its probe was asked")


def test_negative_control_a_daemon_that_measures_by_the_clock_is_caught(make: Make) -> None:
    rig = make(build=BY_THE_CLOCK)
    rig.first()
    began = threading.Event()
    rig.registry.before_body = lambda digest: began.set() if rig.is_large(digest) else None
    rig.apply(2, 2)
    assert began.wait(60), "it is in the middle of its pull"
    time.sleep(0.5)
    rig.clock.set_ahead(90 * DAY_S)
    wait_until(lambda: any(words in rig.daemon.log for words in TOOK_LONG), "its pull took 90 days")
    restarts(rig, "b", 1)
    rig.kill_one("b")
    wait_until(lambda: rig.daemon.log.count("container b-") >= 2, "it saw that")
    rig.clock.set_ahead(180 * DAY_S)
    wait_until(lambda: len(rig.running().get("b", [])) == 1, "it waited for 90 days")


def closed_now() -> tuple[Window, int]:
    """Return a window that is closed for months, and the month in which it opens, on the first at 3."""
    month = (datetime.now(UTC).month + 5) % 12 + 1
    return Window(cron=f"0 3 1 {month} *", duration_s=3600), month


def test_a_window_and_a_deferral_while_the_clock_is_set(make: Make) -> None:
    rig = make(settings="")
    rig.start()
    window, month = closed_now()
    lives = {"a": Lifecycle(windows=(window,)), "b": Lifecycle(longest_deferral_s=12)}
    assert rig.apply(1, 1) is not None
    rig.settled()
    rig.give(rig.living(2, 1, **lives))
    assert rig.defer("b", 60) == pytest.approx(12)
    began = time.monotonic()
    rig.give(rig.living(3, 2, **lives))
    waits = {"a": "waits for its maintenance window", "b": "put off by the module"}
    wait_until(lambda: rig.all_sent() and rig.reasons() == waits, "both are here, and wait")
    in_1970 = datetime(1970, month, 1, 3, 0, 20, tzinfo=UTC)
    rig.clock.set_to(in_1970)
    wait_until(lambda: "the clock is wrong" in rig.reasons().get("a", ""), "it says why it waits")
    rig.jump(90 * DAY_S, -DAY_S, 0, in_1970.timestamp() - time.time())
    put_off = rig.running()
    if time.monotonic() - began < 10:
        assert put_off == {"a": [1], "b": [1]}
    wait_until(lambda: rig.running() == {"a": [1], "b": [2]}, "put off for seconds, neither days nor never")
    assert time.monotonic() - began > 10
    now = datetime.now(UTC)
    # The same window by a clock of which nobody can say that it is wrong: so this window can open.
    ahead = datetime(now.year + 2, month, 1, 3, 0, 20, tzinfo=UTC)
    rig.clock.set_to(ahead)
    wait_until(lambda: rig.running() == {"a": [2], "b": [2]}, "what the clock allows is done")
    _, _, scraped = scrape(rig.state / "metrics.sock")
    (began_s,) = (
        float(line.split()[1]) for line in scraped.splitlines() if line.startswith(b"process_start")
    )
    assert 0 < ahead.timestamp() - began_s < 600, "it did not start years ago"
    assert rig.alive()


def flap(rig: Jumping, for_s: float) -> dict[str, int]:
    """Set the clock there and back all the time; return what the hub was asked meanwhile."""
    before, asked = rig.heard(), len(rig.registry.asked)
    until = time.monotonic() + for_s
    while time.monotonic() < until:
        rig.jump(90 * DAY_S, 0, each_s=0.55)
    return {**(rig.heard() - before), "registry": len(rig.registry.asked) - asked}


def test_a_clock_that_is_set_all_the_time_makes_no_storm(make: Make) -> None:
    rig = make(settings="")
    rig.first()
    wait_until(lambda: rig.heard()["hello"] == 1, "it is connected")
    rig.put_sample("a", 1)
    wait_until(lambda: rig.heard()["s"] == 1, "its sample is on its way")
    first = flap(rig, 4.0)
    assert first["hello"] >= 1, "what was refused for its time is asked for again"
    assert first.get("s", 0) == 0, "what is on its way is not sent again"
    then = flap(rig, 5.0)
    assert first["hello"] + then.get("hello", 0) <= AT_ONCE
    assert first.get("tries", 0) + then.get("tries", 0) == 0, "the connection stands"
    assert first["registry"] + then["registry"] == 0
    identity = (rig.state / "identity" / "cert.pem").read_bytes()
    rig.broker.refuse = True
    rig.broker.cut()
    away = flap(rig, 9.0)
    assert away["tries"] <= AT_ONCE + 9, "each is some seconds from the last"
    assert (rig.state / "identity" / "cert.pem").read_bytes() == identity
    assert not [path for path, _ in rig.registry.asked if path.startswith("POST")], "nobody enrols again"


def test_negative_control_a_daemon_that_acts_at_each_setting_storms(make: Make) -> None:
    rig = make(settings="", build=AT_EACH)
    rig.first()
    wait_until(lambda: rig.heard()["hello"] == 1, "it is connected")
    assert flap(rig, 9.0)["hello"] > AT_ONCE


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_minutes_of_a_clock_that_is_set_all_the_time(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    rig = make()
    rig.first()
    began, before, asked = time.monotonic(), rig.heard(), len(rig.registry.asked)
    updates = 0
    while time.monotonic() - began < 240:
        with rig.jumps(each_s=0.55 + updates % 5):
            rig.apply(*rig.next())
            rig.settled()
            updates += 1
            restarts(rig, "b", 1)
            time.sleep(20)
    took_s = time.monotonic() - began
    heard = rig.heard() - before
    with capsys.disabled():
        each = {name: round(count * HOUR_S / took_s, 1) for name, count in heard.items()}
        requests = len(rig.registry.asked) - asked
        print(f"\n{took_s:.0f} s, {updates} updates; an hour: {each}; registry {requests}")
    assert heard["hello"] <= AT_ONCE + took_s / 60
    assert heard["tries"] == 0
    assert max(gaps(rig.pings)) < WATCHDOG_S
    assert rig.daemon.log.count("driver: process") == 1
