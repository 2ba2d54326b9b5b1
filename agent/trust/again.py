"""A document that the disk did not take is offered again, soon and as often as needed.

The hub says it again with a report of the device, which may be a minute away, and each time it goes over the
line. Here it waits in memory.
"""

import logging
import threading
from collections.abc import Callable
from typing import Final

from agent.errors import StateWriteError

log = logging.getLogger(__name__)

WAIT_S: Final = 2.0


class Again:
    """Offers the last document that could not be written; ``offer`` raises `StateWriteError` for as long."""

    def __init__(self, offer: Callable[[bytes], None], *, wait_s: float = WAIT_S) -> None:
        self._offer, self._wait_s = offer, wait_s
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._closed, self._newest = False, b""

    def offer(self, envelope: bytes) -> None:
        """Offer a document now, and again later where it cannot be written; another takes its place."""
        self.close(for_good=False)
        self._newest = envelope
        try:
            self._offer(envelope)
        except StateWriteError as error:
            log.warning("%s; tried again in %g s", error, self._wait_s)
            self._later(envelope)

    def close(self, *, for_good: bool = True) -> None:
        """Offer nothing again; ``for_good``: nor anything that comes."""
        with self._lock:
            self._closed |= for_good
            if self._timer is not None:
                self._timer.cancel()

    def _later(self, envelope: bytes) -> None:
        with self._lock:
            if self._closed or self._newest is not envelope:
                return
            self._timer = threading.Timer(self._wait_s, self._tick, (envelope,))
            self._timer.daemon = True
            self._timer.start()

    def _tick(self, envelope: bytes) -> None:
        if self._newest is not envelope:
            return
        try:
            self._offer(envelope)
        except StateWriteError:
            self._later(envelope)  # without a word each time: the log may be on the same disk
