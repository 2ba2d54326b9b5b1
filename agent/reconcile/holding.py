"""Not now: maintenance windows of the owner, and modules that put a change off."""

import fcntl
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path

from cronsim import CronSimError

from agent.clock import EPOCH
from agent.reconcile.state import ContainerSeen, spec_digest
from contract.agent_api import UPDATE_LOCK
from contract.desired import Module


class Holding:
    """Says by module why it may not be changed now; keeps in memory what modules asked for.

    ``clock`` returns None while the clock is surely wrong: then no window is open, whatever it says. How long
    a module may put a change off counts from when the change was first seen here; a restart of the agent
    begins that anew.
    """

    def __init__(self, *, monotonic: Callable[[], float], clock: Callable[[], datetime | None]) -> None:
        self._monotonic, self._clock = monotonic, clock
        self._lock = threading.Lock()
        self._deferred: dict[str, float] = {}
        self._pending: dict[str, tuple[str, float]] = {}

    def defer(self, module: Module, seconds: float) -> float:
        """Put changes of a module off; return for how many seconds from now they wait at most."""
        now = self._monotonic()
        with self._lock:
            granted = max(0.0, min(seconds, self._left_s(module, now)))
            self._deferred[module.name] = now + granted
        return granted

    def held(
        self,
        wanted: Mapping[str, Module],
        committed: Mapping[str, Module],
        containers: Iterable[ContainerSeen],
        run_folder: Callable[[str], Path],
    ) -> dict[str, str]:
        """Return why modules that run and are to be changed have to wait."""
        found: dict[str, str] = {}
        living = [c for c in containers if c.alive]
        with self._lock:
            for name, module in committed.items():
                target = wanted.get(name)
                spec = spec_digest(target) if target is not None else ""
                if spec == spec_digest(module):
                    self._pending.pop(name, None)
                    continue
                if self._pending.get(name, ("", 0.0))[0] != spec:
                    self._pending[name] = (spec, self._monotonic())
                ids = [c.id for c in living if c.module.name == name]
                # The owner's word on the new version counts; on one that goes, that on what runs.
                owner = target if target is not None else module
                reason = self._reason(owner, [run_folder(each) / UPDATE_LOCK for each in ids])
                if reason:
                    found[name] = reason
        return found

    def _reason(self, module: Module, locks: Iterable[Path]) -> str:
        try:
            now = self._clock() if module.life.windows else EPOCH
            if now is None:
                return "waits for its maintenance window: the clock is wrong, it is behind"
            if not module.life.may_change(now):
                return "waits for its maintenance window"
        except (CronSimError, KeyError, ValueError, OSError) as error:
            return f"waits for a maintenance window that cannot be told here: {error}"
        steady = self._monotonic()
        if self._left_s(module, steady) <= 0:
            return ""
        if self._deferred.get(module.name, 0.0) > steady or any(is_locked(lock) for lock in locks):
            return "put off by the module"
        return ""

    def _left_s(self, module: Module, now: float) -> float:
        """Return how long a change may still be put off."""
        since = self._pending[module.name][1] if module.name in self._pending else now
        return module.life.longest_deferral_s - (now - since)


def is_locked(path: Path) -> bool:
    """Does somebody hold a lock (flock) on a file? What else a module puts in its place is no lock."""
    try:
        # Not following a link out of the folder, and not waiting for the other end of a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False
