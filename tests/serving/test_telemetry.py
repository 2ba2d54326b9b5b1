"""Each scored request is one sample, stored once by the agent, however the agent behaves."""

import asyncio
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from contract.agent_api import Handover
from modules.serving.agent_client import AgentClient
from modules.serving.errors import AgentUnreachableError
from modules.serving.telemetry import MAX_BATCH_SAMPLES, TelemetrySender
from tests.serving.conftest import Server, Servers, eventually, infer_body
from tests.serving.fake_agent import FakeAgent

Pixels = NDArray[np.float32]
INFER = "/v2/models/digits/infer"


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[FakeAgent]:
    made = FakeAgent(tmp_path / "agent")
    yield made
    made.stop()


def start(servers: Servers, digits: Path, agent: FakeAgent, **env: str) -> Server:
    more = {"HEADLAND_AGENT_SOCKET": str(agent.path), "HEADLAND_MODULE": "m", "HEADLAND_IMAGE": "i@sha256:1"}
    return servers.start(servers.listen(), digits, env=more | env)


def score(servers: Servers, server: Server, pixels: Pixels, ids: list[str]) -> None:
    client = servers.connect(server)
    for one in ids:
        assert client.ask("POST", INFER, infer_body(pixels[:1], id=one)).status == 200


def names(start: int, end: int) -> list[str]:
    return [f"r{number}" for number in range(start, end)]


def test_what_a_sample_says(servers: Servers, digits: Path, pixels: Pixels, agent: FakeAgent) -> None:
    agent.start()
    server = start(servers, digits, agent, HEADLAND_MODEL_VERSION="7")
    eventually(lambda: agent.ready == 1, "ready is announced once")
    client = servers.connect(server)
    labels = client.ask("POST", "/score", {"data": pixels[:3].tolist()}).json["result"]
    assert client.ask("POST", INFER, infer_body(pixels[:1], id="mine")).status == 200
    assert client.ask("POST", INFER, infer_body(pixels[:1, :9])).status == 400  # not scored: no sample
    eventually(lambda: len(agent.samples) == 2, "two samples")
    rows, one = agent.samples
    assert (one.request_id, one.module, one.model, one.model_version, one.image) == (
        "mine",
        "m",
        "digits",
        "7",
        "i@sha256:1",
    )
    assert len(rows.request_id) == 32
    assert msgspec.json.decode(rows.prediction) == labels
    assert msgspec.json.decode(one.prediction) == labels[0]
    assert 0 < one.latency_us < 1_000_000
    assert rows.input.shape == (3, 64)
    seen = (rows.input.mean, rows.input.std, rows.input.min, rows.input.max)
    first = pixels[:3].astype(np.float64)
    assert seen == pytest.approx((first.mean(), first.std(), first.min(), first.max()))
    assert agent.ready == 1


def test_a_script_is_sampled_too(servers: Servers, tmp_path: Path, agent: FakeAgent) -> None:
    agent.start()
    path = tmp_path / "score.py"
    path.write_text("def init(): pass\ndef run(raw_data): return {'said': raw_data}\n")
    server = start(servers, tmp_path, agent, HEADLAND_SCRIPT=str(path))
    client = servers.connect(server)
    for body in (b"a", b"b" * 20_000):
        assert client.ask("POST", "/score", body).status == 200
    eventually(lambda: len(agent.samples) == 2, "two samples")
    assert [bytes(sample.prediction) for sample in agent.samples] == [b'{"said":"a"}', b"null"]


def test_every_sample_once_through_failures_and_restarts(
    servers: Servers, digits: Path, pixels: Pixels, agent: FakeAgent
) -> None:
    server = start(servers, digits, agent)
    score(servers, server, pixels, names(0, 50))  # no agent yet: scoring does not wait for it
    agent.start()
    eventually(lambda: len(agent.samples) == 50, "what waited")
    agent.mode = "lose"  # stored, but the answer never comes
    score(servers, server, pixels, names(50, 60))
    eventually(lambda: len(agent.attempts) >= 4, "a repetition after a lost answer")
    agent.mode = "fail"
    score(servers, server, pixels, names(60, 700))
    agent.mode = "busy"
    tried = len(agent.attempts)
    eventually(lambda: len(agent.attempts) >= tried + 1, "a repetition after 429")
    agent.stop()
    agent.mode = "ok"
    score(servers, server, pixels, names(700, 710))
    agent.start()
    eventually(lambda: len(agent.samples) >= 710, "all after the restart")
    check_exactly_once(agent, names(0, 710))
    assert "0 samples were dropped by a full queue and 0 were refused" in server.log


def check_exactly_once(agent: FakeAgent, ids: list[str]) -> None:
    """Each id once; one producer, numbers from 1 in order; every repetition has the same bytes."""
    assert agent.request_ids == Counter(ids)
    assert [sample.request_id for sample in agent.samples] == ids
    assert len({handover.producer for handover in agent.handovers}) == 1
    assert [handover.number for handover in agent.handovers] == list(range(1, len(agent.handovers) + 1))
    assert max(len(handover.bodies) for handover in agent.handovers) <= MAX_BATCH_SAMPLES
    by_number: dict[int, set[bytes]] = {}
    for body in agent.attempts:
        by_number.setdefault(msgspec.json.decode(body, type=Handover).number, set()).add(body)
    assert all(len(bodies) == 1 for bodies in by_number.values())
    assert len(agent.attempts) > len(by_number), "nothing was repeated, so nothing was tested"
    for handover in agent.handovers:
        assert len(handover.sampled_at_us) == len(handover.bodies)
        assert list(handover.sampled_at_us) == sorted(handover.sampled_at_us)


def test_a_refused_hand_over_is_counted_and_left(
    servers: Servers, digits: Path, pixels: Pixels, agent: FakeAgent
) -> None:
    agent.start()
    server = start(servers, digits, agent)
    agent.mode = "refuse"
    score(servers, server, pixels, ["broken"])
    eventually(lambda: "refused with 400" in server.log, "the refusal is told")
    agent.mode = "ok"
    score(servers, server, pixels, ["good"])
    eventually(lambda: agent.request_ids == Counter(["good"]), "the next one arrives")
    assert [handover.number for handover in agent.handovers] == [2]


def test_a_drain_hands_over_what_waits(
    servers: Servers, digits: Path, pixels: Pixels, agent: FakeAgent
) -> None:
    server = start(servers, digits, agent, HEADLAND_DRAIN_IDLE_S="0", HEADLAND_STOP_GRACE_S="10")
    score(servers, server, pixels, names(0, 1200))
    server.process.send_signal(signal.SIGTERM)
    eventually(lambda: "draining" in server.log, "the drain begins")
    agent.start()  # comes back while the module stops
    assert server.wait_exit() == 0
    assert agent.request_ids == Counter(names(0, 1200))
    assert [len(handover.bodies) for handover in agent.handovers][-1] > 1


def test_a_stop_without_an_agent_is_bounded_and_told(
    servers: Servers, digits: Path, pixels: Pixels, agent: FakeAgent
) -> None:
    server = start(servers, digits, agent, HEADLAND_DRAIN_IDLE_S="0", HEADLAND_STOP_GRACE_S="0.5")
    score(servers, server, pixels, names(0, 3))
    server.process.send_signal(signal.SIGTERM)
    assert server.wait_exit(3) == 0
    assert "3 telemetry samples could not be handed over" in server.log


def test_a_second_stop_hurries(servers: Servers, digits: Path, pixels: Pixels, agent: FakeAgent) -> None:
    agent.start()
    server = start(servers, digits, agent, HEADLAND_DRAIN_IDLE_S="60", HEADLAND_STOP_GRACE_S="60")
    idle = servers.connect(server)
    agent.mode = "fail"
    assert idle.ask("POST", INFER, infer_body(pixels[:1], id="last")).status == 200
    eventually(lambda: len(agent.attempts) >= 4, "repetitions become rare")
    server.process.send_signal(signal.SIGTERM)
    eventually(lambda: "draining" in server.log, "the drain begins")
    agent.mode = "ok"
    server.process.send_signal(signal.SIGTERM)
    assert server.wait_exit(5) == 0
    assert agent.request_ids == Counter(["last"])
    assert "could not be handed over" not in server.log


def test_without_an_agent_there_is_no_telemetry(servers: Servers, digits: Path, pixels: Pixels) -> None:
    server = servers.start(servers.listen(), digits, HEADLAND_DRAIN_IDLE_S="0")
    score(servers, server, pixels, ["a"])
    server.process.send_signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert "telemetry" not in server.log


async def test_a_full_queue_drops_the_oldest_and_counts(agent: FakeAgent) -> None:
    sender = TelemetrySender(AgentClient(str(agent.path)), capacity=10)
    for number in range(25):
        sender.record(number, b"%d" % number)
    assert sender.dropped == 15
    agent.start()
    agent.mode = "ok"
    assert await sender.close(5) == 0
    bodies = [body for handover in agent.handovers for body in handover.bodies]
    assert [int(bytes(body)) for body in bodies] == list(range(15, 25))


async def test_closing_has_an_end_at_any_moment(agent: FakeAgent) -> None:
    """Also without time, while the sender waits before a repetition and the agent is away."""
    for waits_s in (0, 0.01, 0.08, 0.2):
        sender = TelemetrySender(AgentClient(str(agent.path)), capacity=10)
        sender.record(1, b"1")
        await asyncio.sleep(waits_s)
        assert await asyncio.wait_for(sender.close(0), 2) == 1


async def test_a_large_batch_is_split_by_bytes(agent: FakeAgent) -> None:
    agent.start()
    sender = TelemetrySender(AgentClient(str(agent.path)), capacity=1000)
    for number in range(400):
        sender.record(number, msgspec.json.encode("x" * 8000))
    assert await sender.close(10) == 0
    assert sum(len(handover.bodies) for handover in agent.handovers) == 400
    assert max(map(len, agent.stored.values())) < 2 * 1024 * 1024


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n",
        b"x" * 200_000,
    ],
)
async def test_half_an_answer_is_no_answer(tmp_path: Path, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_unix_server(serve, tmp_path / "a"):
        with pytest.raises(AgentUnreachableError):
            await AgentClient(str(tmp_path / "a")).post("/v1/ready", b"")
