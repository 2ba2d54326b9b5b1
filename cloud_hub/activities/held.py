"""One activity that this process works on: what its handler said, and why it is to stop."""

import threading
import time
from datetime import UTC, datetime
from typing import Literal

from cloud_hub.activities.errors import ActivityStoppedError
from cloud_hub.activities.log_lines import LogLength, LogLine
from cloud_hub.activities.queue import Claim

Reason = Literal["cancelled", "hub stops", "lease lost"]


class Held:
    """The `Progress` of a handler. It touches no database: the keeper saves what gathers here."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.saving = threading.Lock()  # one writer at a time, and none after the end
        self.over = False
        self.renewed_at = time.monotonic()
        self.fraction = 0.0
        self.log = LogLength(claim.lines, claim.log_bytes)
        self.reason: Reason | None = None
        self._lock = threading.Lock()
        self._unsaved: list[LogLine] = []
        self._said = ""
        self._changed = False

    @property
    def activity(self) -> str:
        """The activity's id."""
        return self.claim.id

    def __call__(self, fraction: float, message: str) -> None:
        """Take note; raises `ActivityStoppedError`."""
        if self.stopped():
            raise ActivityStoppedError(f"the activity is to stop: {self.reason}", where=self.activity)
        with self._lock:
            self.fraction = min(1.0, max(0.0, fraction))
            self._changed = True
            if message != self._said:  # the same words again are only a new fraction
                self._said = message
                self._unsaved += self.log.next_lines(message, datetime.now(UTC))

    def stopped(self) -> bool:
        """Is the work to stop?"""
        return self.reason is not None

    def stop(self, reason: Reason) -> None:
        """Ask the work to stop; the first reason counts, but for a lost lease."""
        if self.reason is None or reason == "lease lost":
            self.reason = reason

    def unsaved(self) -> tuple[float, list[LogLine], LogLength]:
        """Return what is to be saved: the fraction, the lines, and the length of the log with them."""
        with self._lock:
            return self.fraction, list(self._unsaved), LogLength(self.log.lines, self.log.size_bytes)

    def has_news(self) -> bool:
        """Is there anything to be saved?"""
        return self._changed

    def saved(self, fraction: float, lines: list[LogLine]) -> None:
        """Forget what is in the database now."""
        with self._lock:
            del self._unsaved[: len(lines)]
            self._changed = bool(self._unsaved) or self.fraction != fraction
