"""Threads that do activities, and one that keeps their leases alive."""

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping

from cloud_hub.activities.held import Held
from cloud_hub.activities.kinds import Kind
from cloud_hub.activities.queue import Queue
from contract.encoding import canonical
from contract.errors import HeadlandError

log = logging.getLogger(__name__)

SAVE_S = 0.25  # how soon what a handler says is in the database
POLL_S = 1.0  # how soon what another process queued is seen
STOP_GRACE_S = 8.0


class Workers:
    """``at_once`` threads; they take up activities from `start` to `stop`."""

    def __init__(
        self, queue: Queue, kinds: Mapping[str, Kind], *, at_once: int, lease_s: float, renew_s: float
    ) -> None:
        self._queue, self._kinds = queue, kinds
        self._lease_s, self._renew_s = lease_s, renew_s
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._held: dict[str, Held] = {}
        self._news = threading.Event()
        self._stopping = threading.Event()
        # Daemons: a handler that hears nothing must not keep the process from its end.
        self._threads = [
            threading.Thread(target=self._work, name=f"activity-{n}", daemon=True) for n in range(at_once)
        ]
        self._keeper = threading.Thread(target=self._keep, name="activity-keeper", daemon=True)

    def start(self) -> None:
        """Begin to take up activities."""
        for thread in (*self._threads, self._keeper):
            thread.start()

    def wake(self) -> None:
        """Something was queued."""
        self._news.set()

    def cancel(self, activity: str) -> None:
        """Ask an activity to stop where this process works on it."""
        held = self._held.get(activity)
        if held is not None:
            held.stop("cancelled")

    def stop(self) -> None:
        """Ask what runs to stop, and put back into the queue what does not within some seconds."""
        self._stopping.set()
        for held in list(self._held.values()):
            held.stop("hub stops")
        self._news.set()
        until = time.monotonic() + STOP_GRACE_S
        for thread in (*self._threads, self._keeper):
            if thread.is_alive():
                thread.join(max(0.0, until - time.monotonic()))
        for held in list(self._held.values()):
            self._end(held, lambda held=held: self._queue.release(held.claim))  # type: ignore[misc]

    def _work(self) -> None:
        while not self._stopping.is_set():
            self._news.clear()
            try:
                claim = self._queue.claim(
                    {name: kind.max_attempts for name, kind in self._kinds.items()}, self._holder
                )
            except Exception:
                log.exception("activities could not be taken up; tried again in %g s", POLL_S)
                claim = None
            if claim is None:
                self._news.wait(POLL_S)
                continue
            held = Held(claim)
            self._held[claim.id] = held
            if self._stopping.is_set():
                held.stop("hub stops")
            try:
                self._run(held)
            finally:
                del self._held[claim.id]

    def _run(self, held: Held) -> None:
        claim = held.claim
        log.info("activity %s (%s) begins, attempt %d", claim.id, claim.kind, claim.attempt)
        if held.stopped():
            self._stopped(held)
            return
        try:
            result = self._kinds[claim.kind].handler(claim.parameters, held)
            canonical(result)  # what is no JSON is the handler's error, and not the database's
        except Exception as error:
            if held.stopped():
                self._stopped(held)
                return
            self._finish(held, "failed", error=_problem(claim.id, error))
        else:
            held.fraction = 1.0
            self._finish(held, "completed", result=result, progress=1.0)

    def _stopped(self, held: Held) -> None:
        """The work stopped because it was asked to; the reason says what becomes of it."""
        if held.reason == "cancelled":
            self._finish(held, "cancelled")
        elif held.reason == "hub stops":
            self._end(held, lambda: self._queue.release(held.claim))
        else:
            log.warning("activity %s: another process has taken it over", held.activity)

    def _finish(self, held: Held, state: str, **values: object) -> None:
        def write() -> bool:
            _, lines, length = held.unsaved()
            return self._queue.finish(held.claim, state, lines, length, **values)

        self._end(held, write)

    def _end(self, held: Held, write: Callable[[], bool]) -> None:
        """Write the end once; a database that does not answer is asked again while the lease lasts."""
        with held.saving:
            if held.over:
                return
            held.over = True
            until = time.monotonic() + self._lease_s
            while True:
                try:
                    if not write():
                        log.warning("activity %s: another attempt counts", held.activity)
                    return
                except Exception:
                    log.exception("the end of activity %s could not be written", held.activity)
                    if time.monotonic() > until:
                        return  # it is done again when the lease has run out
                    time.sleep(POLL_S)

    def _keep(self) -> None:
        while not self._stopping.wait(SAVE_S) or self._held:
            for held in list(self._held.values()):
                now = time.monotonic()
                if not held.has_news() and now - held.renewed_at < self._renew_s:
                    continue
                if self._save(held):
                    held.renewed_at = now
                elif now - held.renewed_at > self._lease_s:
                    held.stop("lease lost")
            if self._stopping.is_set():
                time.sleep(SAVE_S)

    def _save(self, held: Held) -> bool:
        """Renew a lease with what its handler said; False where that did not succeed."""
        with held.saving:
            if held.over:
                return True
            fraction, lines, length = held.unsaved()
            try:
                saved = self._queue.save(held.claim, fraction, lines, length)
            except Exception:
                log.exception("the lease of activity %s could not be renewed", held.activity)
                return False
            if saved is None:
                held.stop("lease lost")
                return True
            held.saved(fraction, lines)
        if saved.cancel:
            held.stop("cancelled")
        return True


def _problem(activity: str, error: Exception) -> dict[str, str]:
    if isinstance(error, HeadlandError):
        log.warning("activity %s failed: %s", activity, error)
        return {"code": error.code, "detail": error.what, "where": error.where, "fix": error.fix}
    log.error("activity %s failed", activity, exc_info=error)
    return {"code": "internal", "detail": "an unexpected error", "fix": "See the hub's log."}
