"""What comes at once is worked on together, and one that fails is nobody else's trouble."""

import asyncio

import pytest

from cloud_hub.devices.lots import MOST, MOST_WAITING, Lots
from cloud_hub.errors import DatabaseUnavailableError


class Desk:
    """Doubles numbers; refuses what is negative. ``gate`` holds it up."""

    def __init__(self) -> None:
        self.lots: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.away = False

    async def work(self, lot: list[int]) -> list[int]:
        await self.gate.wait()
        self.lots.append(lot)
        if self.away:
            raise DatabaseUnavailableError("it is away")
        if min(lot) < 0:
            raise ValueError("negative")
        return [2 * number for number in lot]


async def test_one_alone_waits_for_nobody_and_many_go_together() -> None:
    desk = Desk()
    lots = Lots(desk.work)
    assert await (await lots.put(4)) == 8
    desk.gate.clear()
    answers = [await lots.put(number) for number in range(2 * MOST)]
    desk.gate.set()
    assert await asyncio.gather(*answers) == [2 * number for number in range(2 * MOST)]
    assert [len(lot) for lot in desk.lots] == [1, MOST, MOST]


async def test_one_that_cannot_be_worked_on_fails_alone() -> None:
    desk = Desk()
    lots = Lots(desk.work)
    answers = [await lots.put(number) for number in (1, -1, 3)]
    found = await asyncio.gather(*answers, return_exceptions=True)
    assert (found[0], found[2]) == (2, 6)
    assert isinstance(found[1], ValueError)


async def test_a_trouble_of_the_moment_is_not_tried_once_for_each() -> None:
    desk = Desk()
    desk.away = True
    lots = Lots(desk.work)
    found = await asyncio.gather(*[await lots.put(number) for number in range(9)], return_exceptions=True)
    assert {type(each) for each in found} == {DatabaseUnavailableError}
    assert len(desk.lots) == 1
    desk.away = False
    assert await (await lots.put(1)) == 2


async def test_who_comes_when_too_many_wait_waits() -> None:
    desk = Desk()
    desk.gate.clear()
    lots = Lots(desk.work)
    for number in range(MOST):
        await lots.put(number)
    await asyncio.sleep(0)  # a lot is in hand
    for number in range(MOST_WAITING):
        await lots.put(number)
    late = asyncio.create_task(lots.put(-5))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not late.done()
    desk.gate.set()
    with pytest.raises(ValueError, match="negative"):
        await (await late)


async def test_what_waits_at_the_end_is_told() -> None:
    desk = Desk()
    desk.gate.clear()
    lots = Lots(desk.work)
    answers = [await lots.put(number) for number in range(2 * MOST)]
    await asyncio.sleep(0)
    await lots.stop()
    assert all(answer.cancelled() for answer in answers)
