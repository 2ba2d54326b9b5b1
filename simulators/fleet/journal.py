"""What one simulated device did, with the times of a steady clock: what a judge reads afterwards."""

from array import array
from collections import Counter

import msgspec


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """A device's journal as a message; times are seconds of the machine's steady clock.

    ``steady``: its link was never taken down. Of its samples so many were ``taken``, are ``waiting`` for the
    hub's acknowledgement, and were ``dropped``.

    ``rollout`` is the last document that was accepted, at ``accepted_at``; ``first_report_at`` is when the
    device first reported it, and ``settled_at`` when it first reported that it runs or that it failed.
    """

    device: str
    group: str = ""
    steady: bool = True
    tried_at: list[float]
    connected_at: list[float]
    lost_at: list[float]
    failures: dict[str, int]
    rollout: str = ""
    accepted_at: float = 0.0
    first_report_at: float = 0.0
    settled_at: float = 0.0
    failed: bool = False
    refused: dict[str, int] = {}
    taken: int = 0
    waiting: int = 0
    dropped: int = 0


class Journal:
    """Written while the device lives; times in seconds."""

    def __init__(self, device: str, group: str = "", *, steady: bool = True) -> None:
        self.device, self.group, self.steady = device, group, steady
        self.stands = False
        self.last_try_stood = False
        self._tried, self._connected, self._lost = array("d"), array("d"), array("d")
        self.failures: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.rollout, self.failed_it = "", False
        self.accepted_at = self.first_report_at = self.settled_at = 0.0
        self.acks, self.last_ack_at = 0, 0.0

    @property
    def tried(self) -> int:
        """How often it tried to connect."""
        return len(self._tried)

    @property
    def came(self) -> bool:
        """Was it ever connected?"""
        return bool(self._connected)

    def tries(self, at: float) -> None:
        """It begins to connect."""
        self._tried.append(at)
        self.last_try_stood = False

    def connected(self, at: float) -> None:
        """The broker let it in."""
        self._connected.append(at)
        self.stands = self.last_try_stood = True

    def lost(self, at: float) -> None:
        """Its connection is gone."""
        self._lost.append(at)
        self.stands = False

    def failed(self, reason: str) -> None:
        """A try came to nothing."""
        self.failures[reason] += 1

    def accepted(self, rollout: str, at: float) -> None:
        """Another document is in force."""
        self.rollout, self.accepted_at = rollout, at
        self.first_report_at = self.settled_at = 0.0
        self.failed_it = False

    def acknowledged(self, at: float) -> None:
        """The hub told it how far a stream of it is stored."""
        self.acks, self.last_ack_at = self.acks + 1, at

    def reported(self, at: float, *, converged: bool, failed: bool) -> None:
        """It said how it is, of the document in force."""
        if not self.rollout:
            return
        self.first_report_at = self.first_report_at or at
        if (converged or failed) and not self.settled_at:
            self.settled_at, self.failed_it = at, failed

    def story(self) -> Story:
        """Return what happened until now."""
        return Story(
            device=self.device,
            group=self.group,
            steady=self.steady,
            tried_at=self._tried.tolist(),
            connected_at=self._connected.tolist(),
            lost_at=self._lost.tolist(),
            failures=dict(self.failures),
            rollout=self.rollout,
            accepted_at=self.accepted_at,
            first_report_at=self.first_report_at,
            settled_at=self.settled_at,
            failed=self.failed_it,
            refused=dict(self.refused),
        )
