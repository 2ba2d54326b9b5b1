"""The worker processes of a fleet, seen from the one that started them."""

import asyncio
import contextlib
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from simulators.fleet.errors import FleetError, FleetLateError
from simulators.fleet.journal import Story
from simulators.fleet.orders import (
    BEGIN,
    FINISH,
    MAX_LINE_BYTES,
    QUIET,
    Loaded,
    Order,
    Progress,
    Said,
    Stories,
    by_rollout,
)

NOTHING: Final = Progress(
    connected=0, came=0, tried=0, running={}, failed={}, waiting=0, quiet=True, resident_bytes=0
)
END_S: Final = 60.0


class Processes:
    """All workers; `progress` is the sum of what they last said."""

    def __init__(self, processes: list[asyncio.subprocess.Process], devices: int) -> None:
        self._processes = processes
        self.devices = devices
        self._loaded = 0
        self._told: dict[int, Progress] = {}
        self._stories: dict[int, Stories] = {}
        self._news = asyncio.Event()
        self._listening = {each.pid: asyncio.create_task(self._listen(each)) for each in processes}

    @property
    def progress(self) -> Progress:
        """Where all devices are."""
        told = [*self._told.values(), NOTHING]
        return Progress(
            connected=sum(each.connected for each in told),
            came=sum(each.came for each in told),
            tried=sum(each.tried for each in told),
            running=sum((Counter(each.running) for each in told), Counter()),
            failed=sum((Counter(each.failed) for each in told), Counter()),
            first_reports_at=by_rollout(min, _items(each.first_reports_at for each in told)),
            last_settled_at=by_rollout(max, _items(each.last_settled_at for each in told)),
            acks=sum(each.acks for each in told),
            last_ack_at=max(each.last_ack_at for each in told),
            waiting=sum(each.waiting for each in told),
            quiet=all(each.quiet for each in told),
            resident_bytes=sum(each.resident_bytes for each in told),
        )

    async def begin(self) -> float:
        """Let all devices begin once all are loaded; return when, on the machine's steady clock."""
        await self.until(lambda: self._loaded == self.devices, "the devices' identities are read", None)
        at = time.monotonic()
        await self._command(BEGIN)
        return at

    async def until(self, done: Callable[[], bool], what: str, timeout_s: float | None) -> None:
        """Wait until ``done`` holds of what was told; raises `FleetLateError` and `FleetError`."""
        try:
            async with asyncio.timeout(timeout_s):
                while not done():
                    self._news.clear()
                    await self._news.wait()
                    self._raise_losses()
        except TimeoutError as error:
            raise FleetLateError(
                f"not within {timeout_s:g} s: {what}",
                fix="Give --timeout more seconds, or --records to see what each device did.",
            ) from error

    async def quiet(self, within_s: float) -> None:
        """Let no device take samples any more, and wait until none waits, or for so long."""
        await self._command(QUIET)
        with contextlib.suppress(FleetLateError):
            await self.until(
                lambda: self.progress.quiet and not self.progress.waiting,
                "all samples are stored",
                within_s,
            )

    async def finish(self) -> list[Story]:
        """End all devices; return what each did, in the order of their names."""
        await self._command(FINISH)
        await self.until(lambda: len(self._stories) == len(self._processes), "the workers end", END_S)
        stories = [one for each in self._stories.values() for one in each.stories]
        return sorted(stories, key=lambda one: one.device)

    async def close(self) -> None:
        """End the processes."""
        for listening in self._listening.values():
            listening.cancel()
        await asyncio.gather(*self._listening.values(), return_exceptions=True)
        for process in self._processes:
            if process.stdin is not None:
                process.stdin.close()
        for process in self._processes:
            try:
                await asyncio.wait_for(process.wait(), END_S)
            except TimeoutError:
                process.kill()
                await process.wait()

    async def _command(self, command: bytes) -> None:
        for process in self._processes:
            if process.stdin is not None:
                process.stdin.write(command)
                await process.stdin.drain()

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Take in what a worker says; it ends with the worker."""
        while process.stdout is not None and (line := await process.stdout.readline()):
            match msgspec.json.decode(line, type=Said):
                case Loaded(devices=devices):
                    self._loaded += devices
                case Progress() as progress:
                    self._told[process.pid] = progress
                case Stories() as stories:
                    self._stories[process.pid] = stories
            self._news.set()
        self._news.set()

    def _raise_losses(self) -> None:
        for pid, listening in self._listening.items():
            if listening.done() and pid not in self._stories:
                raise FleetError("a worker process ended", fix="What it printed above says why.")


def _items(each: Iterable[dict[str, float]]) -> Iterable[tuple[str, float]]:
    return (item for one in each for item in one.items())


@asynccontextmanager
async def started(orders: Sequence[Order]) -> AsyncIterator[Processes]:
    """Start a worker for each order; they are gone when the block ends."""
    processes = [await _start() for _ in orders]
    fleet = Processes(processes, sum(order.devices for order in orders))
    try:
        for process, order in zip(processes, orders, strict=True):
            if process.stdin is not None:
                process.stdin.write(msgspec.json.encode(order) + b"\n")
                await process.stdin.drain()
        yield fleet
    finally:
        await fleet.close()


async def _start() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "simulators.fleet.worker",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=MAX_LINE_BYTES,
        # Its own session: a Ctrl-C is for the one who asks it to finish.
        start_new_session=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
