"""How a module lives: what it waits for, when it is tried again, and when it may be changed.

Nothing here needs another container: a change of it alone leaves what runs as it is.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, Literal
from zoneinfo import ZoneInfo

import msgspec
from cronsim import CronSim

Restart = Literal["always", "on-failure", "on-unhealthy", "never"]
"""``on-failure``: after an exit code other than 0; ``on-unhealthy``: also when it does not live;
``always``: also after an exit with 0. An exit code that nobody knows counts as a failure."""
Update = Literal["hand-over", "stop-first", "delete-first"]
"""``hand-over``: the old container serves until the new one is ready; ``stop-first``: it stops before the new
one starts; ``delete-first``: its image goes too before the new one is pulled, for a small disk."""
LONGEST_WINDOW: Final = timedelta(days=1)


class Probe(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a module is asked how it is; one of ``http`` (a path on its socket), ``file`` and ``exec``.

    ``file`` is below ``/run/headland``: for readiness it has to be there, for liveness written anew since the
    last time that it was looked at. ``exec`` is a program in the container and its arguments: it has to end
    with 0. So many ``failures`` in a row count.
    """

    http: str = ""
    file: str = ""
    exec: tuple[str, ...] = ()
    period_s: float = 10.0
    timeout_s: float = 5.0
    failures: int = 3


class Window(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A maintenance window: it begins when ``cron`` says so, by the clock of ``time_zone``."""

    cron: str
    duration_s: float
    time_zone: str = "UTC"

    def is_open(self, now: datetime) -> bool:
        """Is it open at ``now`` (aware)? Raises what `ZoneInfo` and `CronSim` do of others' words."""
        return _is_open(self, now.astimezone(UTC).replace(second=0, microsecond=0))


class Lifecycle(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``depends_on``: modules that must be ready before this one starts. ``readiness``: without one the
    module says itself that it is ready. ``windows``: none means at any time. ``longest_deferral_s``: how
    long the module may put a change off, from when it could have begun.
    """

    depends_on: tuple[str, ...] = ()
    restart: Restart = "always"
    readiness: Probe | None = None
    liveness: Probe | None = None
    update: Update = "hand-over"
    windows: tuple[Window, ...] = ()
    longest_deferral_s: float = 0.0

    def may_change(self, now: datetime) -> bool:
        """Is a window open, or is there none?"""
        return not self.windows or any(window.is_open(now) for window in self.windows)


@lru_cache(maxsize=256)
def _is_open(window: Window, minute: datetime) -> bool:
    """Did it open within its length, to the minute? In summer time as Debian's cron has it."""
    lasts = min(timedelta(seconds=window.duration_s), LONGEST_WINDOW)
    begins = CronSim(window.cron, (minute - lasts).astimezone(ZoneInfo(window.time_zone)))
    return next(begins, minute + lasts) <= minute
