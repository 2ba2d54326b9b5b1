"""Asks the queries of rollouts beside their conductor: one at a time, and none again too soon.

Answers are kept in memory alone: a hub that takes the work over asks anew.
"""

import logging
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

import pyarrow as pa

from cloud_hub.rollouts.queries import Answered, QueryGate
from cloud_hub.rollouts.waves import Member, Standing
from contract.errors import HeadlandError

log = logging.getLogger(__name__)

AGAIN_S: Final = 10.0
WAVE: Final = pa.schema([("device", pa.string()), ("since", pa.timestamp("us", tz="UTC"))])
REST: Final = pa.schema([("device", pa.string())])


class Found(Protocol):
    """What a query found."""

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """The rows, as far as they were asked for."""


class Query(Protocol):
    """Runs SQL in a workspace, with tables of its own beside the streams."""

    def __call__(self, workspace: str, sql: str, most_rows: int, *, tables: Mapping[str, pa.Table]) -> Found:
        """Run it; raises `HeadlandError`."""


@dataclass(frozen=True)
class Watched:
    """What the queries are about: a wave of a rollout, in its watch that began ``settled_at``."""

    rollout: int
    wave: int
    settled_at: datetime | None

    @classmethod
    def of(cls, rollout: int, standing: Standing) -> "Watched":
        """Return what is watched where a rollout stands so."""
        return cls(rollout, standing.wave, standing.settled_at)


class Questions:
    """Keeps what was answered last of each wave that is watched."""

    def __init__(self, query: Query, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._query, self._monotonic = query, monotonic
        self._answers: dict[Watched, tuple[Answered, ...]] = {}
        self._not_before: dict[Watched, float] = {}
        self._asker = ThreadPoolExecutor(1, thread_name_prefix="rollout-queries")

    def keep(self, rollouts: Collection[int]) -> None:
        """Forget all other rollouts."""
        for known in (self._answers, self._not_before):
            for watched in [each for each in known if each.rollout not in rollouts]:
                known.pop(watched, None)

    def latest(self, watched: Watched) -> tuple[Answered, ...] | None:
        """Return what was answered last, or None."""
        return self._answers.get(watched)

    def ask(
        self, watched: Watched, workspace: str, gates: Sequence[QueryGate], members: Sequence[Member]
    ) -> None:
        """Let the queries be asked, unless they are being asked or were a moment ago."""
        if self._monotonic() < self._not_before.get(watched, -math.inf):
            return
        self._not_before[watched] = math.inf
        tables = tables_of(watched.wave, members)
        self._asker.submit(self._ask, watched, workspace, tuple(gates), tables)

    def _ask(
        self, watched: Watched, workspace: str, gates: Sequence[QueryGate], tables: Mapping[str, pa.Table]
    ) -> None:
        self._answers[watched] = tuple(self._answer(workspace, gate, tables) for gate in gates)
        self._not_before[watched] = self._monotonic() + AGAIN_S

    def _answer(self, workspace: str, gate: QueryGate, tables: Mapping[str, pa.Table]) -> Answered:
        try:
            return answered(self._query(workspace, gate.sql, 2, tables=tables).rows)
        except HeadlandError as error:
            return Answered(problem=error.what)
        except Exception as error:
            log.exception("query %s of a rollout failed", gate.name)
            return Answered(problem=f"unexpected {type(error).__name__}, see the hub's log")


def answered(rows: Sequence[tuple[Any, ...]]) -> Answered:
    """Return the one number of a result; NULL, and no row, are no answer yet."""
    if not rows:
        return Answered()
    if len(rows) > 1 or len(rows[0]) != 1:
        return Answered(problem=f"{len(rows)} rows of {len(rows[0])} columns, it must be one number")
    (value,) = rows[0]
    if value is None:
        return Answered()
    try:
        return Answered(value=float(value))
    except (TypeError, ValueError, OverflowError):
        return Answered(problem=f"a {type(value).__name__}, it must be one number")


def tables_of(wave: int, members: Sequence[Member]) -> dict[str, pa.Table]:
    """Return the tables of a query: who of the wave runs it since when, and who was not given it yet."""
    running = [
        {"device": member.device, "since": member.ran_at}
        for member in members
        if member.wave == wave and member.phase == "moved" and member.ran_at is not None
    ]
    rest = [{"device": member.device} for member in members if member.phase == "pending"]
    return {
        "wave": pa.Table.from_pylist(running, schema=WAVE),
        "rest": pa.Table.from_pylist(rest, schema=REST),
    }
