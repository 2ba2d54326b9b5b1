"""Samples wait here, bounded, and go to the agent in numbered hand-overs, each until it is answered."""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Final
from uuid import uuid4

import msgspec

from contract.agent_api import TELEMETRY_PATH, Handover
from contract.encoding import encode
from modules.serving.agent_client import AgentClient
from modules.serving.errors import AgentUnreachableError
from modules.serving.log import log_event

STREAM: Final = "inference"
MAX_BATCH_SAMPLES: Final = 500
MAX_BATCH_BYTES: Final = 1024 * 1024  # the agent reads bodies of 8 MiB
COLLECT_S: Final = 0.05
FIRST_BACKOFF_S: Final = 0.1
MAX_BACKOFF_S: Final = 2.0


class TelemetrySender:
    """Queues samples without waiting and hands them over in order.

    A hand-over keeps its number and its bytes until the agent answers 200: an answer that was lost
    makes a repetition, which the agent stores once. ``dropped`` counts samples that the full queue
    pushed out (the oldest go first), ``broken`` those in hand-overs that the agent called wrong.
    """

    def __init__(self, client: AgentClient, capacity: int) -> None:
        self.dropped = 0
        self.broken = 0
        self._client = client
        self._queue: deque[tuple[int, bytes]] = deque(maxlen=capacity)
        self._producer = uuid4().hex
        self._number = 0
        self._in_flight = 0
        self._some = asyncio.Event()
        self._full = asyncio.Event()
        self._closing = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    def record(self, sampled_at_us: int, body: bytes) -> None:
        """Queue one sample of JSON ``body``, taken ``sampled_at_us`` after the Unix epoch."""
        queue = self._queue
        if len(queue) == queue.maxlen:
            self.dropped += 1
        queue.append((sampled_at_us, body))
        if len(queue) == 1:
            self._some.set()
        if len(queue) >= MAX_BATCH_SAMPLES:
            self._full.set()

    async def close(self, timeout_s: float) -> int:
        """Hand over what waits, for at most ``timeout_s``; return how many samples are left."""
        self._closing.set()
        self._some.set()
        self._full.set()
        await asyncio.wait({self._task}, timeout=timeout_s)
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task})
        return len(self._queue) + self._in_flight

    async def _run(self) -> None:
        while True:
            await self._some.wait()
            await _wait_at_most(self._full, COLLECT_S)
            batch = self._take()
            if batch:
                await self._hand_over(batch)
            elif self._closing.is_set():
                return

    def _take(self) -> list[tuple[int, bytes]]:
        batch: list[tuple[int, bytes]] = []
        size_bytes = 0
        while self._queue and len(batch) < MAX_BATCH_SAMPLES and size_bytes < MAX_BATCH_BYTES:
            batch.append(self._queue.popleft())
            size_bytes += len(batch[-1][1])
        if not self._closing.is_set():
            if not self._queue:
                self._some.clear()
            if len(self._queue) < MAX_BATCH_SAMPLES:
                self._full.clear()
        return batch

    async def _hand_over(self, batch: list[tuple[int, bytes]]) -> None:
        self._number += 1
        self._in_flight = len(batch)
        handover = Handover(
            producer=self._producer,
            number=self._number,
            sampled_at_us=tuple(at_us for at_us, _ in batch),
            bodies=tuple(msgspec.Raw(body) for _, body in batch),
        )
        await self._send_until_answered(encode(handover))
        self._in_flight = 0

    async def _send_until_answered(self, payload: bytes) -> None:
        backoff_s, failures = FIRST_BACKOFF_S, 0
        while True:
            try:
                answer = await self._client.post(TELEMETRY_PATH + STREAM, payload)
                if answer.taken:
                    break
                if answer.final:
                    self.broken += self._in_flight
                    log_event(f"hand-over {self._number} was refused with {answer.status} and is given up")
                    break
                reason = f"status {answer.status}"
            except AgentUnreachableError as error:
                reason = str(error)
            failures += 1
            if failures == 1:
                log_event(f"hand-over {self._number} will be repeated: {reason}")
            await self._pause(backoff_s)
            backoff_s = min(MAX_BACKOFF_S, backoff_s * 2)
        if failures:
            log_event(
                f"the agent answers again after {failures} failures; since the start {self.dropped} samples "
                f"were dropped by a full queue and {self.broken} were refused"
            )

    async def _pause(self, seconds: float) -> None:
        """Wait before a repetition; a closing server neither waits out a pause nor makes a long one."""
        if self._closing.is_set():
            await asyncio.sleep(FIRST_BACKOFF_S)
            return
        await _wait_at_most(self._closing, seconds)


async def _wait_at_most(event: asyncio.Event, seconds: float) -> None:
    """Wait for ``event``, at most ``seconds``.

    Not `asyncio.wait_for`: before Python 3.12 it swallows a cancellation that comes together with the
    event, and a sender that cannot be cancelled keeps its server from stopping.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


async def announce_ready(client: AgentClient, target: str) -> None:
    """Tell the agent that this module serves, again and again until the agent answers."""
    backoff_s = FIRST_BACKOFF_S
    while True:
        try:
            answer = await client.post(target, b"")
        except AgentUnreachableError:
            answer = None
        if answer is not None and (answer.taken or answer.final):
            log_event(f"told the agent that the module is ready: {answer.status}")
            return
        await asyncio.sleep(backoff_s)
        backoff_s = min(MAX_BACKOFF_S, backoff_s * 2)
