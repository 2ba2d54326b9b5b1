"""Workspaces whose telemetry waits for their datastore: why, since when, and when it is tried again."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from cloud_hub.blobs.errors import StoreError
from contract.errors import HeadlandError

FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 60.0


@dataclass(frozen=True)
class Wait:
    """The last failure, the time of the first one in a row, and how many there were."""

    error: HeadlandError
    since: datetime
    failures: int
    next_try_s: float


class Waits:
    """Kept in this process alone: after a start each datastore is simply tried. Times by ``clock``, in s."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waits: dict[str, Wait] = {}
        self._lock = threading.Lock()

    def of(self, workspace: str) -> Wait | None:
        """Return what a workspace waits for."""
        return self._waits.get(workspace)

    def is_due(self, workspace: str) -> bool:
        """May its datastore be tried now? The pauses double, from 5 s to a minute."""
        wait = self._waits.get(workspace)
        return wait is None or self._clock() >= wait.next_try_s

    def require_due(self, workspace: str) -> None:
        """Raise `StoreError` until its datastore is tried again: a store that hangs costs its time once."""
        wait = self._waits.get(workspace)
        if wait is not None and not self.is_due(workspace):
            raise StoreError(
                f"telemetry of this workspace waits for its datastore: {wait.error.what}",
                where=wait.error.where,
                fix=wait.error.fix or "Try again.",
            ) from wait.error

    def failed(self, workspace: str, error: HeadlandError) -> None:
        """Note a failure."""
        with self._lock:
            before = self._waits.get(workspace)
            failures = before.failures + 1 if before else 1
            pause_s = min(FIRST_PAUSE_S * 2 ** min(failures - 1, 10), LONGEST_PAUSE_S)
            since = before.since if before else datetime.now(UTC)
            self._waits[workspace] = Wait(error, since, failures, self._clock() + pause_s)

    def worked(self, workspace: str) -> None:
        """Forget earlier failures."""
        with self._lock:
            self._waits.pop(workspace, None)
