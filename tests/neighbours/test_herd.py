"""Several devices begin at once: what the hub sends, and how long anybody waits."""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.artifacts.fetch import HttpsRegistry
from agent.artifacts.patience import Bounds, Heard, Patience
from agent.artifacts.pull import pull_image
from agent.artifacts.sources import Nearby, Sources
from agent.neighbours.certificates import asking_context
from contract.desired import ImageRef
from tests.artifacts.registry import make_tar
from tests.neighbours.shop import Device, Shop
from tests.neighbours.test_giving import MORE, NOISE

NAMES = ("cam-1", "cam-2", "cam-3")


@pytest.fixture
def devices(shop: Shop) -> list[Device]:
    """Three devices that give each other what they have."""
    found = [shop.device(name) for name in NAMES]
    for each in found:
        each.serve(*NAMES)
    return found


@pytest.fixture
def ref(shop: Shop) -> ImageRef:
    return shop.served.add_image([make_tar({"f": NOISE}), make_tar({"g": MORE})], shop.site.architecture)


def pull(device: Device, devices: list[Device], ref: ImageRef, bounds: Bounds, draw: float) -> None:
    nearby = [
        Nearby(
            other.name,
            HttpsRegistry(other.source.at, asking_context(device.identity, other.name), timeout_s=5),
            neighbour=True,
        )
        for other in devices
        if other is not device
    ]
    device.savings.count_sources()
    sources = Sources(device.hub, nearby, device.savings, bounds=bounds, draw=lambda: draw)
    pull_image(ref, sources, device.store, device.savings)


def all_pull(devices: list[Device], ref: ImageRef, bounds: Bounds) -> None:
    with ThreadPoolExecutor(len(devices)) as pool:
        work = [
            pool.submit(partial(pull, each, devices, ref, bounds, number / len(devices)))
            for number, each in enumerate(devices)
        ]
        for each in work:
            each.result()


def layers(shop: Shop) -> int:
    return sum(len(data) for data in shop.served.content.values() if len(data) > 10_000)


def test_the_hub_sends_each_layer_once(shop: Shop, devices: list[Device], ref: ImageRef) -> None:
    all_pull(devices, ref, Bounds(wait_s=60, settle_s=6))
    assert shop.layer_bytes_sent() == layers(shop)
    assert sum(device.served_bytes() for device in devices) >= 2 * layers(shop)
    assert [device.counts()[1] for device in devices] == [0, 0, 0]


def test_the_control_without_waiting_the_hub_sends_each_layer_three_times(
    shop: Shop, devices: list[Device], ref: ImageRef
) -> None:
    together = threading.Barrier(3, timeout=30)
    large = shop.largest

    def meet(digest: str) -> None:
        if digest == large:
            together.wait()

    shop.served.before_body = meet
    all_pull(devices, ref, Bounds(wait_s=0))
    assert shop.served.sent[large] == 3 * len(shop.served.content[large])


def test_neighbours_that_are_not_there_are_not_waited_for(shop: Shop, ref: ImageRef) -> None:
    """Three devices, none of which serves: the wait has no end but an hour's."""
    all_pull([shop.device(name) for name in NAMES], ref, Bounds(wait_s=3600, settle_s=3600))


@given(
    st.floats(0, 3600), st.floats(0, 60), st.floats(0, 1), st.booleans(),
    st.lists(st.sampled_from(list(Heard)), max_size=60), st.floats(0, 30),
)  # fmt: skip
def test_nobody_waits_beyond_the_bound(
    wait_s: float, settle_s: float, draw: float, leads: bool, said: list[Heard], asking_s: float
) -> None:
    patience = Patience(Bounds(wait_s, settle_s), lambda: draw, 100.0, leads=leads)
    now = 100.0
    for heard in said:
        step_s = patience.wait_s(heard, now)
        if step_s is None:
            return
        assert 0 < step_s <= 5.0
        assert heard is not Heard.NOTHING
        assert not (leads and heard is Heard.ABSENT)
        now += step_s
        assert now <= 100.0 + wait_s + 1e-6
        now += asking_s


def test_who_hears_that_it_comes_draws_anew_when_it_does_not() -> None:
    patience = Patience(Bounds(100.0, 10.0), lambda: 0.5, 0.0, leads=False)
    assert patience.wait_s(Heard.SOON, 0.0) is not None
    assert patience.wait_s(Heard.SOON, 30.0) is not None
    assert patience.wait_s(Heard.ABSENT, 31.0) is not None
    assert patience.wait_s(Heard.ABSENT, 35.9) == pytest.approx(0.1)
    assert patience.wait_s(Heard.ABSENT, 36.1) is None
