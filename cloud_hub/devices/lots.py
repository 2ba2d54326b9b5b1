"""Works on what comes in lots: one transaction for many devices, where each alone would wait for its own.

While one lot is worked on the next one gathers. So a single device waits for nobody, and thousands that come
at once cost little more than hundreds.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from contract.errors import HeadlandError

T = TypeVar("T")
R = TypeVar("R")

MOST: Final = 500
MOST_WAITING: Final = 10 * MOST


class Lots(Generic[T, R]):
    """Hands lots of at most ``MOST`` to ``work``, one after the other, in the order in which they came.

    ``work`` returns an answer for each. Where it raises, each of the lot is tried alone: one that cannot be
    worked on is nobody else's trouble. What may go well later (`HeadlandError.retriable`) is everybody's.
    """

    def __init__(self, work: Callable[[list[T]], Awaitable[list[R]]]) -> None:
        self._work = work
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._room = asyncio.Event()
        self._room.set()
        self._working: asyncio.Task[None] | None = None

    async def put(self, item: T) -> "asyncio.Future[R]":
        """Take something in, as soon as there is room; return its answer to come."""
        while len(self._waiting) >= MOST_WAITING:
            self._room.clear()
            await self._room.wait()
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work_on())
        return answer

    async def stop(self) -> None:
        """Work on nothing more; what waits is told that it was cancelled."""
        if self._working is not None:
            self._working.cancel()
            await asyncio.gather(self._working, return_exceptions=True)
        for _, answer in self._waiting:
            answer.cancel()
        self._waiting.clear()

    async def _work_on(self) -> None:
        while self._waiting:
            lot = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
            self._room.set()
            try:
                await self._answer(lot)
            finally:
                for _, answer in lot:
                    answer.cancel()  # of those that have none: the hub stops

    async def _answer(self, lot: "list[tuple[T, asyncio.Future[R]]]") -> None:
        try:
            answers = await self._work([item for item, _ in lot])
        except Exception as error:
            of_the_moment = isinstance(error, HeadlandError) and error.retriable
            if len(lot) > 1 and not of_the_moment:
                for one in lot:
                    await self._answer([one])
                return
            for _, answer in lot:
                _fail(answer, error)
            return
        for (_, answer), found in zip(lot, answers, strict=True):
            if not answer.done():
                answer.set_result(found)


def _fail(answer: "asyncio.Future[R]", error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
        answer.exception()  # who does not ask is not told in the log
