"""How late it is at the least, whatever the clock says: what the hub signed, and the time that passed since.

A device without a battery starts in 1970, and whoever can set its clock back could make an expired document
acceptable again. Only the hub's own words raise the floor, never the device's clock: a clock that ran ahead
for a day must not lock the device out.
"""

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from agent.clock import steady_us
from agent.durable import write_durably
from contract.encoding import decode, encode
from contract.errors import ContractError

log = logging.getLogger(__name__)

SAVE_EVERY = timedelta(hours=1)
BEHIND = timedelta(minutes=10)
"""So much a clock, the device's or the hub's, may be wrong as a rule."""


class _Saved(msgspec.Struct, frozen=True, kw_only=True):
    at: datetime


class TimeFloor:
    """Kept in ``path``, on from ``least`` (aware); safe to use from several threads.

    What passes while the device is off is not known. A file that cannot be read or written is logged, and
    the floor is lower than it could be. Without a path it lasts as long as the process. ``wall`` is the
    device's clock, in its zone.
    """

    def __init__(
        self,
        path: Path | None,
        least: datetime,
        *,
        steady_us: Callable[[], int] = steady_us,
        wall: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        self._path, self._steady_us, self._wall = path, steady_us, wall
        self._lock = threading.Lock()
        self._at, self._since_us = max(least, _load(path) or least), steady_us()
        self._saved = self._at

    def now(self) -> datetime:
        """Return a time that is surely past."""
        with self._lock:
            return self._now()

    def clock(self) -> datetime | None:
        """Return what the clock says; None where that is surely past, so that it is wrong."""
        wall = self._wall()
        return wall if wall >= self.now() - BEHIND else None

    def raise_to(self, at: datetime) -> None:
        """The hub signed something at ``at``."""
        with self._lock:
            self._set(max(at, self._now()))
            self._save()

    def lower_to(self, at: datetime) -> None:
        """The hub took back what it had said of the time."""
        with self._lock:
            self._set(at)
            self._save()

    def keep(self) -> None:
        """Write down what passed, if it is worth it."""
        with self._lock:
            if self._now() - self._saved >= SAVE_EVERY:
                self._save()

    def _now(self) -> datetime:
        return self._at + timedelta(microseconds=max(0, self._steady_us() - self._since_us))

    def _set(self, at: datetime) -> None:
        self._at, self._since_us = at, self._steady_us()

    def _save(self) -> None:
        self._saved = self._now()
        if self._path is None:
            return
        try:
            write_durably(self._path, encode(_Saved(at=self._saved)))
        except OSError as error:
            log.warning("what is known of the time cannot be written (%s)", error.strerror)


def _load(path: Path | None) -> datetime | None:
    if path is None:
        return None
    try:
        at = decode(path.read_bytes(), _Saved, what="time floor").at
    except FileNotFoundError:
        return None
    except (OSError, ContractError) as error:
        log.warning("what was known of the time cannot be read: %s", error)
        return None
    return at if at.tzinfo is not None else None
