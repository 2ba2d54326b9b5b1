"""Where desired documents are judged and put on record, one after the other, wherever they come from."""

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from agent.clock import EPOCH
from agent.errors import StateWriteError
from agent.identity.store import DeviceFacts, Identity
from agent.policy.file import PolicyFile
from agent.policy.judge import Denial
from agent.trust.acceptance import Expected, Refused, judge
from agent.trust.ed25519 import verify
from agent.trust.floor import TimeFloor
from contract.desired import Desired

log = logging.getLogger(__name__)

STRICTEST = PolicyFile(None)


class Desk:
    """Judges documents for one device.

    ``held`` returns the document in force, as it is on disk; ``accept`` puts another in force, on disk
    before anything else. ``time_floor`` says how late it is at the least, ``forbids`` why the device's owner
    does not allow what a document asks for. ``now`` is the device's clock (aware).
    """

    def __init__(
        self,
        facts: DeviceFacts,
        held: Callable[[], Desired | None],
        accept: Callable[[Desired], None],
        time_floor: TimeFloor,
        forbids: Callable[[Desired], Denial | None] = STRICTEST.refuses,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._facts = facts
        self._held = held
        self._accept = accept
        self._time = time_floor
        self._forbids, self._now = forbids, now
        self._keys = {keyid: bytes.fromhex(key) for keyid, key in facts.desired_keys.items()}
        self._lock = threading.Lock()
        self._unsettled = False

    def offer(self, envelope: bytes) -> Desired | Refused:
        """Judge an envelope; an accepted document is in force when this returns.

        Raises `StateWriteError` where it is acceptable and cannot be written: then nobody acts on it, and the
        same document may be given again.
        """
        # One at a time: between the look at the floor and the write nobody may raise the floor.
        with self._lock:
            held = self._settled()
            expected = Expected(
                device=self._facts.device,
                workspace=self._facts.workspace,
                floor=held.generation if held else 0,
                keys=self._keys,
                now=self._now(),
                reached=self._time.now(),
                held_issued_at=_aware(held),
            )
            verdict = judge(envelope, expected, verify)
            if isinstance(verdict, Desired) and (denial := self._forbids(verdict)) is not None:
                return Refused(denial.code, denial.reason, verdict.generation)
            if isinstance(verdict, Desired):
                self._put_in_force(verdict)
                log.info("accepted generation %d (%s)", verdict.generation, verdict.rollout)
                if expected.disowned_by(verdict):
                    log.warning(
                        "the hub's clock was ahead: generation %d is newer and was signed before",
                        verdict.generation,
                    )
                    self._time.lower_to(verdict.issued_at)
                else:
                    self._time.raise_to(verdict.issued_at)
            return verdict

    def _settled(self) -> Desired | None:
        """Return what is in force, once that is sure.

        A write can fail after the new document took the old one's place: then it is there to be read, and
        may be gone after a power cut. Without another write it would count as held, and nobody acts on it.
        """
        try:
            held = self._held()
        except OSError as error:
            raise _unwritten("cannot be compared with the one in force", error) from error
        if self._unsettled and held is not None:
            self._put_in_force(held)
        self._unsettled = False
        return held

    def _put_in_force(self, desired: Desired) -> None:
        try:
            self._accept(desired)
        except OSError as error:
            self._unsettled = True
            raise _unwritten("is acceptable and cannot be written", error) from error


def _unwritten(what: str, error: OSError) -> StateWriteError:
    return StateWriteError(
        f"the document {what} ({error.strerror})",
        where="state_dir",
        fix="Make room on the disk, and give the document again.",
    )


def _aware(held: Desired | None) -> datetime | None:
    return held.issued_at if held is not None and held.issued_at.tzinfo is not None else None


def open_floor(folder: Path, identity: Identity, held: Desired | None) -> TimeFloor:
    """Return the floor that is kept in ``folder``: not below certificate and document in force."""
    known = [identity.begins_at, _aware(held) or EPOCH]
    return TimeFloor(folder / "time.json", max(known))
