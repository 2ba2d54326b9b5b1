"""The ports of the loop: who observes and acts for it, and what keeps the document in force."""

from typing import Protocol

from agent.reconcile.state import Context, Fail, Memory, Observed, Step
from contract.desired import Desired
from contract.messages import PullReport


class Hands(Protocol):
    """Observes a device and carries out steps on it: `agent.reconcile.executor`, or a simulated one."""

    @property
    def memory(self) -> Memory:
        """What survives a restart."""

    def observe(self, desired: Desired | None) -> Observed:
        """Return what is on the device now."""

    def context(self) -> Context:
        """Return what is in flight."""

    def failures(self, desired: Desired) -> list[Fail]:
        """Return, once each, what could not be brought here for good and is still desired."""

    def carry_out(self, step: Step) -> bool:
        """Do one step; return whether it was done. A later round plans anew."""

    def pull_report(self) -> PullReport:
        """Return what pulls received, and what deltas saved."""


class Records(Protocol):
    """Keeps the document in force."""

    def load_desired(self) -> Desired | None:
        """Return it; none where there never was one."""

    def save_desired(self, desired: Desired) -> None:
        """Keep another one, durable when this returns."""
