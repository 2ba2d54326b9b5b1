"""Gates by query over a real hub: samples are stored as devices send them, DuckDB answers, waves go on."""

import time
from datetime import UTC, datetime

import pytest
from msgspec import Raw

from cloud_hub.sdk import HubRefusedError
from cloud_hub.telemetry.ingest import Arrived, Ingest
from contract import topics
from contract.encoding import encode
from contract.messages import Batch
from tests.api.rollouts.fleet import NAMES, Fleet, pass_bake

P95 = (
    "SELECT quantile_cont(CAST(body->>'latency_us' AS DOUBLE), 0.95)"
    " FROM inference JOIN wave USING (device) WHERE sampled_at >= since"
)
SLOWER = (
    "SELECT (SELECT avg(CAST(body->>'latency_us' AS DOUBLE)) FROM inference JOIN wave USING (device))"
    " / (SELECT avg(CAST(body->>'latency_us' AS DOUBLE)) FROM inference JOIN rest USING (device))"
)
WAITS_S = 30.0


def strategy(sql: str, bounds: str = "atMost: 5000", more: str = "") -> str:
    query = f'{{name: latency, sql: "{sql}", {bounds}}}'
    return f"waves: [{{count: 1}}, {{count: 2}}], gates: {{queries: [{query}]}}{more}"


class Samples:
    """Sends samples of `inference` as devices do."""

    def __init__(self, fleet: Fleet) -> None:
        self._ingest = Ingest(fleet.world.core.database)
        self._sent = dict.fromkeys(NAMES, 0)

    def send(self, device: str, *latencies_us: int) -> None:
        first, now_us = self._sent[device] + 1, int(datetime.now(UTC).timestamp() * 1e6)
        batch = Batch(
            epoch="e",
            after=first - 1,
            first=first,
            sampled_at_us=(now_us,) * len(latencies_us),
            bodies=tuple(Raw(b'{"latency_us":%d}' % latency) for latency in latencies_us),
        )
        self._sent[device] = batch.last
        ((_, ack),) = self._ingest.store(
            [Arrived(topics.to_subject(topics.telemetry(device, "inference")), encode(batch))]
        )
        assert ack.mark == batch.last


@pytest.fixture
def samples(fleet: Fleet) -> Samples:
    return Samples(fleet)


def until(fleet: Fleet, state: str, wave: int, reason: str) -> None:
    """Let the hub look until the rollout stands so."""
    deadline = time.monotonic() + WAITS_S
    while True:
        fleet.tick()
        found = fleet.shop.rollout("line")
        if (found.state, found.wave) == (state, wave) and reason in found.reason:
            return
        assert time.monotonic() < deadline, (found.state, found.wave, found.reason)
        time.sleep(0.05)


def first_wave_is_watched(fleet: Fleet) -> None:
    fleet.tick()
    fleet.says("cam-1")
    pass_bake(fleet)


def test_a_wave_whose_samples_are_well_lets_the_next_one_come(fleet: Fleet, samples: Samples) -> None:
    fleet.apply(2, strategy=strategy(P95))
    fleet.tick()
    fleet.says("cam-1")
    fleet.tick()
    samples.send("cam-1", 100, 200, 4000)
    samples.send("cam-4", 9_000_000)  # not of the wave
    pass_bake(fleet)
    until(fleet, "running", 2, "")
    assert fleet.on(2) == NAMES[:3]
    passed = [event.words for event in fleet.shop.rollout_events("line") if "latency" in event.words]
    assert passed == ["wave 1: latency is 3620"]


def test_a_wave_whose_samples_are_bad_is_taken_back(fleet: Fleet, samples: Samples) -> None:
    fleet.apply(2, strategy=strategy(P95))
    samples.send("cam-1", 100)  # of the version before: it does not count
    fleet.tick()
    fleet.says("cam-1")
    fleet.tick()
    samples.send("cam-1", 6000)
    pass_bake(fleet)
    until(fleet, "aborted", 1, "wave 1: latency is 6000, at most 5000 may be")
    assert fleet.on(1) == NAMES


def test_negative_control_the_same_samples_without_the_gate(fleet: Fleet, samples: Samples) -> None:
    fleet.apply(2)
    fleet.tick()
    fleet.says("cam-1")
    fleet.tick()
    samples.send("cam-1", 6000)
    pass_bake(fleet)
    assert fleet.on(2) == NAMES[:3]


def test_a_wave_is_compared_with_those_that_were_not_given_it(fleet: Fleet, samples: Samples) -> None:
    fleet.apply(2, strategy=strategy(SLOWER, "atMost: 1.2", ", onFailure: pause"))
    samples.send("cam-1", 150)
    samples.send("cam-4", 100)
    samples.send("cam-5", 100)
    first_wave_is_watched(fleet)
    until(fleet, "paused", 1, "wave 1: latency is 1.5, at most 1.2 may be")
    fleet.shop.resume_rollout("line")
    until(fleet, "running", 2, "")
    assert fleet.on(2) == NAMES[:3], "a person let it go on"


def test_what_cannot_be_asked_is_said_and_holds_it_up(fleet: Fleet, samples: Samples) -> None:
    fleet.apply(2, strategy=strategy(P95))
    first_wave_is_watched(fleet)
    until(fleet, "running", 1, "wave 1 waits: latency has no answer: Catalog Error: Table with name")
    assert fleet.on(2) == ["cam-1"]
    samples.send("cam-1", 1)
    until(fleet, "running", 2, "")
    assert fleet.on(2) == NAMES[:3], "asked again, it has an answer"


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("{name: x, sql: 'DELETE FROM inference', atMost: 1}", "exactly one SELECT is allowed"),
        ("{name: x, sql: 'SELECT 1; SELECT 2', atMost: 1}", "exactly one SELECT is allowed"),
        ("{name: x, sql: 'SELEC 1', atMost: 1}", "syntax error"),
        ("{name: x, sql: 'SELECT 1'}", "must have atMost or atLeast, or both"),
        ("{name: x, sql: 'SELECT 1', atMost: .nan}", "finite number"),
        ("{name: X, sql: 'SELECT 1', atMost: 1}", "must be 1 to 63 of"),
        ("{name: x, sql: '', atMost: 1}", "at least 1 character"),
        ("{name: x, sql: 'SELECT 1', atMost: 1, most: 2}", "unknown key"),
    ],
)
def test_a_query_that_can_never_be_asked_is_refused_at_once(fleet: Fleet, query: str, reason: str) -> None:
    with pytest.raises(HubRefusedError) as refused:
        fleet.apply(2, strategy=f"waves: [{{count: 1}}], gates: {{queries: [{query}]}}")
    found = [problem for problem in refused.value.errors if reason in problem.reason]
    assert found, refused.value.errors
    assert found[0].field.startswith("spec.strategy.gates.queries.0")


def test_no_query_reaches_files(fleet: Fleet) -> None:
    fleet.apply(2, strategy=strategy("SELECT count(*) FROM read_text('/etc/passwd')"))
    first_wave_is_watched(fleet)
    until(fleet, "running", 1, "wave 1 waits: latency has no answer: Permission Error")
