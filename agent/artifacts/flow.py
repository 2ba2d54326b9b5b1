"""How fast, when and for how long pulls may use the line: one `Flow` over all that run side by side."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from agent.artifacts.errors import PullDeadlineError, PullWaitsError
from agent.artifacts.windows import Window, next_window

CHUNK_BYTES: Final = 256 * 1024
LEAST_CHUNK_BYTES: Final = 1024
STEPS_PER_S: Final = 8
"""A bounded line is read in so many pieces a second, so that it is even, and ends soon where it shall."""
CLOCK_WRONG_S: Final = 2.0
"""A clock may be set at any moment, and costs nothing to look at."""


@dataclass(frozen=True)
class FlowRules:
    """Bytes/s over all pulls (0: any), when pulls may run (none: always), seconds for one (0: any)."""

    max_bytes_per_s: int = 0
    windows: tuple[Window, ...] = ()
    deadline_s: float = 0.0
    utc: bool = False


class Watch(Protocol):
    """What a download asks as its bytes come."""

    @property
    def chunk_bytes(self) -> int:
        """Read at most so many at once."""

    def came(self, size_bytes: int) -> float:
        """Take note of bytes, and wait where that was too fast; return the seconds waited.

        Raises `ArtifactError` where the download has to end here; what came is kept.
        """


class Unwatched:
    """Any speed, any time."""

    chunk_bytes = CHUNK_BYTES

    def came(self, size_bytes: int) -> float:  # noqa: ARG002  any number
        """Go on."""
        return 0.0


class Bucket:
    """Says how long to wait after bytes, so that over any time no more come than ``bytes_per_s``. Pure."""

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._paid_until = 0.0

    def take(self, size_bytes: int, now: float) -> float:
        """Return the seconds from ``now`` after which these bytes, and all before them, are paid for."""
        self._paid_until = max(self._paid_until, now) + size_bytes / self._bytes_per_s
        return self._paid_until - now


class Flow:
    """The rules, applied; safe to use from several threads.

    ``sleep`` waits so many seconds and returns whether it was ended early, by `close`. ``now``, in
    the zone of the device, returns None while the clock is surely wrong: then no window is open.
    """

    def __init__(
        self,
        rules: FlowRules | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime | None] = lambda: datetime.now().astimezone(),
        sleep: Callable[[float], bool] | None = None,
    ) -> None:
        self._rules = rules or FlowRules()
        self._monotonic = monotonic
        self._now = now
        self._stopping = threading.Event()
        self._sleep = sleep or self._stopping.wait
        self._lock = threading.Lock()
        self._bucket = Bucket(self._rules.max_bytes_per_s) if self._rules.max_bytes_per_s else None
        self._spent_s: dict[str, float] = {}

    def close(self) -> None:
        """End each pull at its next bytes; what is half here is gone on with by the next agent."""
        self._stopping.set()

    def closed(self) -> tuple[str, float] | None:
        """Return why pulls wait now, and for how many seconds at the most; none where they may run."""
        if not self._rules.windows:
            return None
        now = self._now()
        if now is None:
            return "waits for the next window for pulls: the clock is wrong, it is behind", CLOCK_WRONG_S
        at = (now.astimezone(UTC) if self._rules.utc else now).time()
        found = next_window(self._rules.windows, at)
        if found is None:
            return None
        window, wait_s = found
        clock = "UTC" if self._rules.utc else "local time"
        return f"waits for the next window for pulls, {window} {clock}", wait_s

    @property
    def chunk_bytes(self) -> int:
        """Bytes to read at once."""
        rate = self._rules.max_bytes_per_s
        return min(CHUNK_BYTES, max(LEAST_CHUNK_BYTES, rate // STEPS_PER_S)) if rate else CHUNK_BYTES

    def watch(self, name: str) -> "PullWatch":
        """Begin a try of the pull ``name``."""
        return PullWatch(self, name, self._monotonic())

    def forget(self, name: str) -> None:
        """Let the next try of this pull have all of its time again."""
        with self._lock:
            self._spent_s.pop(name, None)

    def came(self, watch: "PullWatch", size_bytes: int) -> float:
        """See `Watch`."""
        now = self._monotonic()
        deadline_s = self._rules.deadline_s
        with self._lock:
            wait_s = self._bucket.take(size_bytes, now) if self._bucket and size_bytes else 0.0
            spent_s = self._spent_s.get(watch.name, 0.0) + now - watch.counted_until
            self._spent_s[watch.name], watch.counted_until = spent_s, now
        if deadline_s and spent_s > deadline_s:
            raise PullDeadlineError(
                f"the image is not here after {deadline_s:g} s of pulling",
                fix="Raise pull.deadline_s, or find out why the line is slow.",
            )
        if (why := self.closed()) is not None:
            raise PullWaitsError(why[0])
        if self._stopping.is_set() or (wait_s > 0 and self._sleep(wait_s)):
            raise PullWaitsError("the agent stops")
        return wait_s


class PullWatch:
    """One try of one pull."""

    def __init__(self, flow: Flow, name: str, began: float) -> None:
        self._flow = flow
        self.name = name
        self.counted_until = began

    @property
    def chunk_bytes(self) -> int:
        """See `Watch`."""
        return self._flow.chunk_bytes

    def came(self, size_bytes: int) -> float:
        """See `Watch`."""
        return self._flow.came(self, size_bytes)
