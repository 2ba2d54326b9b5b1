"""When a datastore that failed is tried again: pure, with a clock of the test."""

import pytest

from cloud_hub.blobs.errors import StoreError
from cloud_hub.telemetry.waits import FIRST_PAUSE_S, LONGEST_PAUSE_S, Waits


class FakeClock:
    """Stands where the test puts it."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_the_pauses_double_up_to_the_longest() -> None:
    clock = FakeClock()
    waits = Waits(clock)
    pauses = []
    for _ in range(8):
        waits.failed("shop", StoreError("away"))
        begun = clock.now_s
        while not waits.is_due("shop"):
            clock.now_s += FIRST_PAUSE_S / 2
        pauses.append(clock.now_s - begun)
    assert pauses[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert pauses[-1] == LONGEST_PAUSE_S


def test_until_then_it_fails_at_once_with_the_reason() -> None:
    clock = FakeClock()
    waits = Waits(clock)
    waits.require_due("shop")
    waits.failed("shop", StoreError("the bucket is away", where="s3://box"))
    with pytest.raises(StoreError, match="the bucket is away"):
        waits.require_due("shop")
    waits.require_due("lab")
    clock.now_s = FIRST_PAUSE_S
    waits.require_due("shop")


def test_success_forgets_and_the_first_failure_in_a_row_is_kept() -> None:
    waits = Waits(FakeClock())
    waits.failed("shop", StoreError("first"))
    first = waits.of("shop")
    waits.failed("shop", StoreError("second"))
    second = waits.of("shop")
    assert first is not None
    assert second is not None
    assert (second.since, second.failures, second.error.what) == (first.since, 2, "second")
    waits.worked("shop")
    assert waits.of("shop") is None
    assert waits.is_due("shop")
