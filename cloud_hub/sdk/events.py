"""Following an activity: server-sent events as values, and a follower that connects again by itself."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import msgspec

from cloud_hub.sdk.errors import HubRefusedError, HubUnreachableError, SdkError
from cloud_hub.sdk.types import Activity, LogLine

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 10.0
END = "end"


class Line(LogLine, frozen=True, kw_only=True):
    """A line of the log."""


class Advance(msgspec.Struct, frozen=True, kw_only=True):
    """How far it is (0 to 1); ``attempt`` counts from 1."""

    state: str
    progress: float
    attempt: int
    cancel_requested: bool = False


class End(msgspec.Struct, frozen=True, kw_only=True):
    """The end; ``activity`` is without its log."""

    activity: Activity


ActivityEvent = Line | Advance | End


@dataclass(frozen=True)
class Frame:
    """One server-sent event (WHATWG HTML, 9.2)."""

    id: str
    kind: str
    data: str


EventSource = Callable[[str], Iterator[str]]
"""Opens the stream after the event with the given id, and yields its lines until it ends.

It raises `HubUnreachableError` where the connection breaks, `HubRefusedError` where it is refused.
"""


def frames(lines: Iterable[str]) -> Iterator[Frame]:
    """Yield the events of a stream's lines; one that was cut off is not yielded."""
    number, kind, data = "", "", list[str]()
    for line in lines:
        if line == "":
            if data:
                yield Frame(number, kind or "message", "\n".join(data))
            number, kind, data = "", "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "id":
            number = value
        elif field == "event":
            kind = value
        elif field == "data":
            data.append(value)


def follow(source: EventSource, *, patience_s: float) -> Iterator[ActivityEvent]:
    """Yield an activity's events until its end, each line once, through any number of connections.

    Raises `HubUnreachableError` once the hub has not been there for ``patience_s``, and
    `HubRefusedError` where the hub says that trying again is of no use.
    """
    last, wait_s, since = "", FIRST_WAIT_S, time.monotonic()
    while True:
        problem: SdkError = HubUnreachableError("the hub ended the stream before the activity's end")
        try:
            for frame in frames(source(last)):
                wait_s, since = FIRST_WAIT_S, time.monotonic()
                found = _read(frame)
                if isinstance(found, Line) and last and found.number <= int(last):
                    continue
                last = frame.id or last
                if found is not None:
                    yield found
                if isinstance(found, End):
                    return
        except HubUnreachableError as error:
            problem = error
        except HubRefusedError as error:
            if not error.problem.retriable:
                raise
            problem = error
        if time.monotonic() - since > patience_s:
            raise problem
        time.sleep(wait_s)
        wait_s = min(LONGEST_WAIT_S, wait_s * 2)


def _read(frame: Frame) -> ActivityEvent | None:
    try:
        if frame.kind == "line":
            return msgspec.json.decode(frame.data, type=Line)
        if frame.kind == "progress":
            return msgspec.json.decode(frame.data, type=Advance)
        if frame.kind == "end":
            return End(activity=msgspec.json.decode(frame.data, type=Activity))
    except msgspec.DecodeError as error:
        raise SdkError(
            f"the hub's stream is not what this SDK expects: {error}",
            fix="Use the same release of SDK and hub.",
        ) from error
    return None  # of a newer hub; or `refused`: the next connection says why
