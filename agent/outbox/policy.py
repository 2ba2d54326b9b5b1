"""What an owner lays down for a stream, and who gives way when the outbox is full; pure.

A sample never costs one of a higher priority. Room for a hand-over comes from the streams below its
priority first, the lowest of them before the others and the longest-waiting within one priority; only
where that is not enough does ``on_full`` of the hand-over's own stream say what happens.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

OnFull = Literal["oldest", "newest", "refuse"]
MAX_TTL_S = 366 * 86_400


class StreamPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a stream is kept.

    ``priority`` is 0 (the first to give way, the last to be sent) to 9. A sample whose own time is
    more than ``ttl_s`` seconds ago is dropped (0: never for its age). ``on_full``: ``oldest`` drops
    the oldest samples, ``newest`` those that come, and ``refuse`` tells the module, which keeps them.
    """

    priority: Annotated[int, Meta(ge=0, le=9)] = 5
    ttl_s: Annotated[float, Meta(ge=0, le=MAX_TTL_S)] = 0.0
    on_full: OnFull = "oldest"


class Policies(msgspec.Struct, frozen=True):
    """The policy of each stream by name, and of all others."""

    default: StreamPolicy = StreamPolicy()
    streams: dict[str, StreamPolicy] = {}

    def of(self, stream: str) -> StreamPolicy:
        """Return the policy of ``stream``."""
        return self.streams.get(stream, self.default)


@dataclass(frozen=True)
class Head:
    """The oldest sample that a stream holds: its time in microseconds since 1970."""

    stream: str
    at_us: int


@dataclass(frozen=True)
class Victim:
    """The stream that gives way next, and from which end: its newest samples or its oldest."""

    stream: str
    newest: bool


def victim(heads: Iterable[Head], incoming: str, policies: Policies) -> Victim | None:
    """Return which stored stream makes room for ``incoming``, or none: then nothing stored may go.

    A stream of ``incoming``'s own priority gives only where both drop their oldest.
    """
    mine = policies.of(incoming)
    found = []
    for head in heads:
        policy = policies.of(head.stream)
        equal = policy.priority == mine.priority and policy.on_full == mine.on_full == "oldest"
        if policy.priority < mine.priority or equal:
            found.append((policy.priority, head.at_us, head.stream))
    if not found:
        return None
    stream = min(found)[2]
    return Victim(stream, newest=policies.of(stream).on_full != "oldest")
