"""The loop: observe, plan, act, report; woken by events, and by a timer in case one is missed."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
from msgspec import UNSET, UnsetType

from agent.outbox.port import Outbox, OutboxError
from agent.reconcile.hands import Hands, Records
from agent.reconcile.planner import plan
from agent.reconcile.report import converged, module_reports
from agent.reconcile.state import Context, Forget, Observed
from contract.desired import Desired
from contract.messages import AgentReport, OutboxReport, Refusal, Reported

log = logging.getLogger(__name__)

MAX_ROUNDS_IN_A_ROW = 50


class Reconciler:
    """Brings the device to what is desired, and says what it sees.

    ``report`` is called with each report; it must not block. ``agent`` says what the agent itself is.
    ``quiet``: the last round found nothing to do. `start` repeats `round` in a thread; a simulator that has
    thousands of these calls `round` itself. ``monotonic`` in seconds, ``now`` aware.
    """

    def __init__(
        self,
        executor: Hands,
        records: Records,
        outbox: Outbox,
        *,
        interval_s: float,
        report_interval_s: float,
        report: Callable[[Reported], None],
        agent: Callable[[], AgentReport | UnsetType] = lambda: UNSET,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._executor = executor
        self._records = records
        self._outbox = outbox
        self._interval_s = interval_s
        self._report_interval_s = report_interval_s
        self._report = report
        self._agent = agent
        self._monotonic, self._now = monotonic, now
        self.quiet = False
        self._desired = records.load_desired()
        self._refused: Refusal | None = None
        self._wake = threading.Event()
        self._stopping = False
        self._retiring = False
        self._last_report: tuple[object, ...] = ()
        self._last: Reported | None = None
        self._reported_at = float("-inf")
        self._busy_since: float | None = None
        self._last_outbox = OutboxReport(pending=0, dropped=0)
        self._thread = threading.Thread(target=self._run, name="reconciler", daemon=True)

    @property
    def desired(self) -> Desired | None:
        """The document in force."""
        return self._desired

    @property
    def stalled_s(self) -> float:
        """Seconds since the last step in the round in hand; 0 while it waits, infinite when it has ended."""
        if self._thread.ident is not None and not self._thread.is_alive():
            return float("inf")
        since = self._busy_since
        return 0.0 if since is None else self._monotonic() - since

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the round in hand."""
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def wake(self) -> None:
        """Something changed: do not wait for the timer."""
        self._wake.set()

    def report_again(self) -> None:
        """Report in the next round even if nothing changed."""
        self._reported_at = float("-inf")
        self._wake.set()

    def accept(self, desired: Desired) -> None:
        """Put an accepted document in force: persisted first, then acted on."""
        self._records.save_desired(desired)
        if self._retiring:
            return  # for the next run
        self._desired = desired
        self._refused = None
        self._wake.set()

    def desire_nothing(self) -> None:
        """Take down all modules; what is remembered of them and the document on disk stay as they are."""
        self._retiring = True
        if self._desired is not None:
            self._desired = msgspec.structs.replace(self._desired, modules=())

    def refuse(self, refusal: Refusal) -> None:
        """Report that a document was refused."""
        self._refused = refusal
        self.report_again()

    def round(self) -> bool:
        """Observe, plan, act once, report; return whether anything was done (what failed was not)."""
        desired, executor = self._desired, self._executor
        observed = executor.observe(desired)
        context = executor.context()
        steps = plan(desired, observed, executor.memory, context)
        if self._retiring:
            steps = tuple(step for step in steps if not isinstance(step, Forget))
        failures = executor.failures(desired) if desired else []
        self._say(observed, context)
        done = False
        for step in (*failures, *steps):
            done |= executor.carry_out(step)
            self._busy_since = self._monotonic()
        self.quiet = not (steps or failures)
        return done

    def _run(self) -> None:
        while not self._stopping:
            try:
                for _ in range(MAX_ROUNDS_IN_A_ROW):
                    self._busy_since = self._monotonic()
                    if not self.round() or self._stopping:
                        break
            except Exception:
                # Whatever it was: a device whose daemon stands still is worse than one that tries again.
                log.exception("a round failed; the next one plans anew")
                self._say_again()
            self._busy_since = None
            self._wake.wait(timeout=self._interval_s)
            self._wake.clear()

    def outbox_report(self) -> OutboxReport:
        """Return the outbox's counters, or the last known: a broken outbox stops nothing else."""
        try:
            self._last_outbox = self._outbox.report()
        except OutboxError as error:
            log.warning("the outbox cannot be asked: %s", error)
        return self._last_outbox

    def _say_again(self) -> None:
        """Report what was seen last, as not sure: a device that cannot look is not one that is gone."""
        now = self._monotonic()
        if self._last is not None and now - self._reported_at >= self._report_interval_s:
            self._reported_at = now
            self._report(msgspec.structs.replace(self._last, at=self._now(), converged=False))

    def _say(self, observed: Observed, context: Context) -> None:
        desired = self._desired
        modules = module_reports(desired, observed, self._executor.memory, context)
        settled = converged(desired, observed, modules)
        agent = self._agent()
        content = (desired.generation if desired else 0, settled, modules, self._refused, agent)
        now = self._monotonic()
        if content == self._last_report and now - self._reported_at < self._report_interval_s:
            return
        self._last_report, self._reported_at = content, now
        self._last = Reported(
            generation=content[0],
            at=self._now(),
            converged=settled,
            modules=modules,
            outbox=self.outbox_report(),
            refused=self._refused,
            pulls=self._executor.pull_report(),
            agent=agent,
        )
        self._report(self._last)
