"""The orderly stop: no request is refused, and telemetry reaches the agent if it is there."""

import asyncio
from collections.abc import Sequence
from typing import Final

from modules.serving.acceptor import Acceptor
from modules.serving.http import ServerState
from modules.serving.log import log_event
from modules.serving.telemetry import TelemetrySender

FLUSH_SHARE: Final = 0.2
HURRIED_FLUSH_S: Final = 1.0


async def drain(
    acceptors: Sequence[Acceptor],
    state: ServerState,
    sender: TelemetrySender | None,
    hurry: asyncio.Event,
    *,
    idle_s: float,
    grace_s: float,
) -> None:
    """Stop accepting, finish the connections, hand telemetry over; at most ``grace_s`` in all.

    Idle connections may send one more request for ``idle_s``. A fifth of the grace stays for
    telemetry. Setting ``hurry`` drops the connections and leaves one short attempt at telemetry.
    """
    clock = asyncio.get_running_loop().time
    ends_at = clock() + grace_s
    connections_end_at = ends_at - grace_s * FLUSH_SHARE
    log_event(f"draining: {len(state.connections)} connections open")
    state.draining = True
    await asyncio.gather(*(acceptor.stop() for acceptor in acceptors))
    # At most half the time: what is half read after it gets the other half.
    await _wait_closed(state, hurry, min(idle_s, (connections_end_at - clock()) / 2))
    for connection in list(state.connections):
        connection.end_idle()
    await _wait_closed(state, hurry, connections_end_at - clock())
    if state.connections:
        log_event(f"{len(state.connections)} connections were not finished in time and are dropped")
    for connection in list(state.connections):
        connection.abort()
    if sender is not None:
        left_s = max(0.0, ends_at - clock())
        lost = await sender.close(min(left_s, HURRIED_FLUSH_S) if hurry.is_set() else left_s)
        if lost:
            log_event(f"{lost} telemetry samples could not be handed over and are lost")
    log_event("stopped")


async def _wait_closed(state: ServerState, hurry: asyncio.Event, timeout_s: float) -> None:
    """Wait until no connection is open, ``hurry`` is set, or the time is over."""
    if not state.connections or hurry.is_set() or timeout_s <= 0:
        return
    waits = {asyncio.ensure_future(state.none_open.wait()), asyncio.ensure_future(hurry.wait())}
    await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
