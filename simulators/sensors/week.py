"""A week of measurements, handed over to a device's agent in the name of a running module.

The samples' times are a week's; how fast they are handed over is up to the agent. So a week offline passes in
seconds: the agent's own clock does not run faster, only what it is told of does.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import msgspec

from agent.endpoints.unix_client import UnixHttpConnection
from contract.agent_api import TELEMETRY_PATH, Handover
from contract.encoding import encode

DAY_S = 86_400
HOUR_S = 3600
PADDING = "x" * 60


@dataclass(frozen=True)
class Stream:
    """A stream of one sample every ``period_s``."""

    name: str
    period_s: int


STREAMS = (Stream("alarms", 6 * HOUR_S), Stream("vitals", 60), Stream("trace", 20))


class HandoverError(Exception):
    """The agent did not take what it was handed over; the message holds its answer."""


def hand_over_a_week(socket: Path, start_us: int, *, days: int = 7, life: str = "week") -> dict[str, int]:
    """Hand over all streams of ``days`` from ``start_us`` on, in the order of their times, an hour at a time.

    Returns how many samples of each stream the agent answered for. Raises `HandoverError` or OSError.
    """
    counts = {stream.name: 0 for stream in STREAMS}
    connection = UnixHttpConnection(socket)
    try:
        for number in range(days * 24):
            for stream in STREAMS:
                times = tuple(_times(stream, start_us, number))
                if times:
                    first = counts[stream.name]
                    _hand_over(connection, stream.name, life, number + 1, times, first)
                    counts[stream.name] += len(times)
    finally:
        connection.close()
    return counts


def _times(stream: Stream, start_us: int, hour: int) -> Iterator[int]:
    for second in range(hour * HOUR_S, (hour + 1) * HOUR_S):
        if second % stream.period_s == 0:
            yield start_us + second * 1_000_000


def _hand_over(
    connection: UnixHttpConnection, stream: str, life: str, number: int, times: tuple[int, ...], first: int
) -> None:
    bodies = tuple(
        msgspec.Raw(msgspec.json.encode({"n": first + i, "note": PADDING})) for i in range(len(times))
    )
    handover = Handover(producer=f"{life}-{stream}", number=number, sampled_at_us=times, bodies=bodies)
    connection.request(
        "POST", f"{TELEMETRY_PATH}{stream}", encode(handover), {"Content-Type": "application/json"}
    )
    answer = connection.getresponse()
    said = answer.read()
    if answer.status != HTTPStatus.OK:
        raise HandoverError(f"{stream}: {answer.status} {said.decode(errors='replace')[:300]}")
