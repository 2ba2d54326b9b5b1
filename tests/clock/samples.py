"""Samples that are numbered."""

import msgspec

from agent.outbox.port import Outbox


def put(outbox: Outbox, stream: str, number: int, at_us: int, *, samples: int = 1, padding: int = 0) -> None:
    """Hand ``samples`` over as hand-over ``number``; each says what it is, and has ``padding`` bytes more."""
    bodies = tuple(
        msgspec.Raw(b'{"n":%d,"x":"%b"}' % (number * samples + i, b"x" * padding)) for i in range(samples)
    )
    outbox.put(stream, "p", number, (at_us,) * samples, bodies)
