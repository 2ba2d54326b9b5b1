"""How fast, when and for how long pulls use the line: by the rules first, then over a real one."""

import random
import re
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from datetime import time as day_time
from pathlib import Path

import pytest

from agent.artifacts.errors import PullDeadlineError, PullWaitsError
from agent.artifacts.fetch import HttpsRegistry
from agent.artifacts.flow import LEAST_CHUNK_BYTES, Bucket, Flow, FlowRules
from agent.artifacts.pull import pull_image, staged_image
from agent.artifacts.store import ContentStore
from agent.artifacts.windows import next_window, read_window
from agent.reconcile.backoff import Backoff
from agent.reconcile.pulls import LOOK_AGAIN_S, Pulls
from agent.settings import load
from contract.desired import ImageRef, Module
from tests.agent.settings_file import refused
from tests.artifacts.conftest import Site
from tests.artifacts.registry import make_tar

NOISE = random.Random(5).randbytes(2_000_000)
NIGHT = FlowRules(windows=(read_window("22:00-04:00"),))


class Clock:
    """Time that passes only by waiting."""

    def __init__(self, at: datetime = datetime(2026, 5, 4, 23, 0, tzinfo=UTC)) -> None:
        self._lock = threading.Lock()
        self.passed_s = 0.0
        self.at = at

    def monotonic(self) -> float:
        return self.passed_s

    def now(self) -> datetime:
        return self.at + timedelta(seconds=self.passed_s)

    def sleep(self, seconds: float) -> bool:
        with self._lock:
            self.passed_s += seconds
        return False

    def flow(self, rules: FlowRules) -> Flow:
        return Flow(rules, monotonic=self.monotonic, now=self.now, sleep=self.sleep)


def image(site: Site, *sizes: int) -> ImageRef:
    layers = [make_tar({f"f{n}": NOISE[n : n + size]}) for n, size in enumerate(sizes)]
    return site.served.add_image(layers, site.architecture)


@pytest.mark.parametrize(
    ("windows", "at", "expected"),
    [
        ([], "12:00", None),
        (["22:00-04:00"], "21:59", ("22:00-04:00", 60)),
        (["22:00-04:00"], "22:00", None),
        (["22:00-04:00"], "23:59", None),
        (["22:00-04:00"], "00:00", None),
        (["22:00-04:00"], "03:59", None),
        (["22:00-04:00"], "04:00", ("22:00-04:00", 18 * 3600)),
        (["02:00-03:00", "12:00-12:30"], "03:00", ("12:00-12:30", 9 * 3600)),
        (["02:00-03:00", "12:00-12:30"], "12:30", ("02:00-03:00", 13 * 3600 + 1800)),
        (["02:00-03:00", "12:00-12:30"], "12:29", None),
    ],
)
def test_the_next_window(windows: list[str], at: str, expected: tuple[str, int] | None) -> None:
    found = next_window(tuple(map(read_window, windows)), day_time.fromisoformat(at))
    assert (found and (str(found[0]), found[1])) == expected


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('windows = ["22-04"]', "windows"),
        ('windows = ["22:00-24:00"]', "windows"),
        ('windows = ["04:00-04:00"]', "one minute"),
        ('windows = ["22:00-04:00\\n"]', "windows"),
        ("max_bytes_per_s = 1023", "at least 1024"),
        ("max_bytes_per_s = -1", "max_bytes_per_s"),
        ('windows_clock = "mars"', "windows_clock"),
        ("deadline_s = -1.0", "deadline_s"),
        ("rate = 5", "rate"),
    ],
)
def test_settings_that_are_wrong(tmp_path: Path, line: str, words: str) -> None:
    assert re.search(words, refused(tmp_path, f"[pull]\n{line}\n"))


def test_settings_that_are_right(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('[pull]\nmax_bytes_per_s = 1024\nwindows = ["22:00-04:00"]\nwindows_clock = "utc"\n')
    assert load(path).pull.rules() == FlowRules(max_bytes_per_s=1024, windows=NIGHT.windows, utc=True)
    assert load(None).pull.rules() == FlowRules()


def test_a_bucket_saves_nothing_up() -> None:
    bucket = Bucket(1000)
    assert [bucket.take(500, now) for now in (0.0, 0.0, 0.5, 100.0)] == [0.5, 1.0, 1.0, 0.5]


def test_windows_are_in_the_time_that_is_said() -> None:
    """It is 23:00 where the device is, and 05:00 in UTC."""
    clock = Clock(datetime(2026, 5, 4, 23, 0, tzinfo=timezone(timedelta(hours=-6))))
    assert clock.flow(NIGHT).closed() is None
    told = clock.flow(FlowRules(windows=NIGHT.windows, utc=True)).closed()
    assert told == ("waits for the next window for pulls, 22:00-04:00 UTC", 17 * 3600)


@pytest.mark.parametrize("rate", [500_000, 0])
def test_pulls_side_by_side_share_one_bound_and_without_it_nothing_waits(site: Site, rate: int) -> None:
    refs = [image(site, 400_000 + n, 300_000) for n in range(3)]
    clock = Clock()
    flow = clock.flow(FlowRules(max_bytes_per_s=rate))
    with ThreadPoolExecutor(3) as pool:
        list(
            pool.map(
                lambda ref: pull_image(ref, site.client.watched(flow.watch(ref.digest)), site.store), refs
            )
        )
    blobs = sum(size for digest, size in site.served.sent.items() if size > 100_000)
    assert blobs > 1_500_000
    if rate:
        assert clock.passed_s >= blobs / rate
    else:
        assert clock.passed_s == 0


def test_over_a_real_line_our_own_wait_is_not_held_against_the_registry(site: Site) -> None:
    ref = image(site, 60_000)
    impatient = HttpsRegistry(site.served.url, site.context, slowest_bytes_s=1_000_000, slow_s=1.0)
    flow = Flow(FlowRules(max_bytes_per_s=30_000))
    begun = time.monotonic()
    pull_image(ref, impatient.watched(flow.watch("pull")), site.store)
    assert time.monotonic() - begun >= 2.0  # a promise, not a measurement: never faster
    assert flow.chunk_bytes == 30_000 // 8
    assert Flow(FlowRules(max_bytes_per_s=1024)).chunk_bytes == LEAST_CHUNK_BYTES


def test_a_pull_ends_with_its_window_and_goes_on_in_the_next(site: Site) -> None:
    ref = image(site, len(NOISE))
    clock = Clock(datetime(2026, 5, 4, 3, 59, 58, tzinfo=UTC))
    flow = clock.flow(FlowRules(max_bytes_per_s=500_000, windows=NIGHT.windows))
    watched = site.client.watched(flow.watch(ref.digest))
    for _ in range(2):
        with pytest.raises(PullWaitsError) as caught:
            pull_image(ref, watched, site.store)
        assert caught.value.retriable
    assert staged_image(ref, site.store) is None
    (partial,) = (site.folder / "content/partial").iterdir()
    assert 900_000 < partial.stat().st_size < 1_300_000
    clock.passed_s += 18 * 3600
    pull_image(ref, watched, site.store)
    wanted = [wanted for path, wanted in site.served.asked if path.endswith(partial.name)]
    assert wanted[0] == ""
    assert all(int(each.removeprefix("bytes=").rstrip("-")) > 900_000 for each in wanted[1:])


def module(ref: ImageRef) -> Module:
    return Module(name="digits", image=ref)


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_outside_of_the_windows_nothing_is_asked_and_the_reason_is_told(site: Site) -> None:
    ref, clock = image(site, 1000), Clock(datetime(2026, 5, 4, 21, 30, tzinfo=UTC))
    backoff = Backoff(clock.monotonic)
    pulls = Pulls(site.client, site.store, backoff, lambda: None, clock.flow(NIGHT))
    for _ in range(2):
        pulls.start(module(ref))
        assert pulls.in_flight() == frozenset()
        assert pulls.troubles() == {
            ref.digest: "waits for the next window for pulls, 22:00-04:00 local time [pull-waits]"
        }
        assert backoff.waiting() == {ref.digest}  # no busy loop
        clock.passed_s += LOOK_AGAIN_S
        assert backoff.waiting() == frozenset()
    assert site.served.asked == []
    assert pulls.take_failures() == []
    clock.passed_s += 1800
    pulls.start(module(ref))
    until(lambda: not pulls.in_flight())
    assert pulls.staged(module(ref))
    assert pulls.troubles() == {}
    pulls.close()


def test_a_pull_has_a_deadline_over_its_tries_and_then_the_version_has_failed(site: Site) -> None:
    ref, clock = image(site, len(NOISE)), Clock()
    flow = clock.flow(FlowRules(max_bytes_per_s=500_000, deadline_s=3.0))
    digest, _ = max(site.served.content.items(), key=lambda item: len(item[1]))
    pulls = Pulls(site.client, site.store, Backoff(clock.monotonic), lambda: None, flow)
    site.served.cut_after[digest] = 1_000_000  # 2 s, then a wait that does not count
    for passed_s in (0, 1000):
        clock.passed_s += passed_s
        pulls.start(module(ref))
        until(lambda: not pulls.in_flight())
    ((_, reason),) = pulls.take_failures()
    assert reason.endswith("[pull-deadline]")
    assert pulls.troubles() == {}
    # Asked for anew, it has its time again, and what came is kept.
    pulls.start(module(ref))
    until(lambda: not pulls.in_flight())
    assert pulls.staged(module(ref))
    pulls.close()


def test_without_a_deadline_the_same_pull_succeeds(site: Site) -> None:
    ref, clock = image(site, len(NOISE)), Clock()
    for deadline_s in (0.0, 30.0):
        flow, store = clock.flow(FlowRules(500_000, deadline_s=deadline_s)), ContentStore(site.folder / "2")
        assert pull_image(ref, site.client.watched(flow.watch("pull")), store).layers
        shutil.rmtree(site.folder / "2")
    impatient = site.client.watched(clock.flow(FlowRules(500_000, deadline_s=0.5)).watch("pull"))
    with pytest.raises(PullDeadlineError):
        pull_image(ref, impatient, site.store)


def test_an_agent_that_stops_ends_a_pull_that_waits(site: Site) -> None:
    """At 1 kB/s the pull would take half an hour."""
    ref, flow = image(site, len(NOISE)), Flow(FlowRules(max_bytes_per_s=1024))
    pulls = Pulls(site.client, site.store, Backoff(time.monotonic), lambda: None, flow)
    began = threading.Event()
    site.served.before_body = lambda _: began.set()
    pulls.start(module(ref))
    assert began.wait(10)
    pulls.close()
    until(lambda: not pulls.in_flight())
    assert pulls.staged(module(ref)) is None
    assert pulls.take_failures() == []
