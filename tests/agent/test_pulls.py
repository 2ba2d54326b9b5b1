"""Pulls in the background and the waits between tries."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.artifacts.errors import FetchError, FetchRefusedError
from agent.artifacts.fetch import Registry
from agent.artifacts.flow import Watch
from agent.artifacts.store import ContentStore
from agent.errors import AgentError
from agent.reconcile.backoff import FIRST_S, LONGEST_S, Backoff
from agent.reconcile.pulls import Pulls
from contract import oci
from contract.desired import ImageRef, Module

REFUSED = Module(name="m", image=ImageRef(repository="w/m", digest="sha256:" + "1" * 64, name="m:1"))
OTHER = Module(name="n", image=ImageRef(repository="w/n", digest="sha256:" + "2" * 64, name="n:1"))


class FailingRegistry:
    """A registry that raises what it is told to, once it may."""

    def __init__(self, error: AgentError | RuntimeError) -> None:
        self.error = error
        self.may_answer = threading.Event()

    def watched(self, watch: Watch) -> Registry:
        return self

    def blob_nearby(
        self, repository: str, descriptor: oci.Descriptor, target: Path, *, patient: bool = False
    ) -> int | None:
        return None

    @property
    def hub(self) -> Registry:
        return self

    def manifest(self, repository: str, digest: str) -> bytes:
        self.may_answer.wait(10)
        raise self.error

    def referrers(self, repository: str, digest: str) -> bytes:
        raise self.error

    def blob(self, repository: str, descriptor: oci.Descriptor, target: Path) -> int:
        raise self.error


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("error", "for_good"),
    [
        (FetchRefusedError("gone"), True),
        (FetchError("cut"), False),
        (RuntimeError("a bug of ours"), False),
    ],
)
def test_a_pull_that_failed_waits_and_only_one_for_good_is_a_failure(
    tmp_path: Path, error: AgentError | RuntimeError, for_good: bool
) -> None:
    registry, backoff, woken = FailingRegistry(error), Backoff(Clock()), threading.Event()
    pulls = Pulls(registry, ContentStore(tmp_path), backoff, woken.set)
    pulls.start(REFUSED)
    assert pulls.in_flight() == {REFUSED.image.digest}
    assert pulls.staged(REFUSED) is None
    registry.may_answer.set()
    assert woken.wait(10)
    until(lambda: not pulls.in_flight())
    assert backoff.waiting() == {REFUSED.image.digest}
    failures = pulls.take_failures()
    assert [module for module, _ in failures] == ([REFUSED] if for_good else [])
    assert pulls.take_failures() == []
    pulls.close()


def test_one_slow_pull_does_not_hold_back_another(tmp_path: Path) -> None:
    registry, backoff = FailingRegistry(FetchError("slow")), Backoff(Clock())
    pulls = Pulls(registry, ContentStore(tmp_path), backoff, lambda: None)
    pulls.start(REFUSED)
    pulls.start(OTHER)
    pulls.start(OTHER)
    assert pulls.in_flight() == {REFUSED.image.digest, OTHER.image.digest}
    registry.may_answer.set()
    until(lambda: not pulls.in_flight())
    pulls.close()


def test_waits_double_up_to_a_bound_and_are_forgotten_when_healthy() -> None:
    clock = Clock()
    backoff = Backoff(clock)
    waits = [backoff.failed("m") for _ in range(9)]
    assert waits[:3] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S]
    assert waits[-1] == LONGEST_S
    assert backoff.waiting() == {"m"}
    clock.now += LONGEST_S
    assert backoff.waiting() == frozenset()
    assert backoff.failed("m") == LONGEST_S
    backoff.healthy("m")
    assert backoff.waiting() == frozenset()
    assert backoff.failed("m") == FIRST_S
