"""How simulated devices behave below the agent: how long things take, and what goes wrong."""

from typing import Annotated

import msgspec

Span = tuple[Annotated[float, msgspec.Meta(ge=0)], Annotated[float, msgspec.Meta(ge=0)]]
"""Seconds from and to; each time one in between is drawn."""


class Behaviour(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``never_ready`` and ``crashing`` are images (``name:version``) whose containers do not become ready, or
    end by themselves in place of it.
    """

    pull_s: Span = (0.5, 3.0)
    ready_s: Span = (0.1, 1.0)
    stop_s: Span = (0.01, 0.1)
    never_ready: frozenset[str] = frozenset()
    crashing: frozenset[str] = frozenset()
