"""Where desired documents are judged and put on record, one after the other, wherever they come from."""

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from agent.errors import StateWriteError
from agent.identity.store import DeviceFacts
from agent.trust.acceptance import Expected, Refused, judge
from agent.trust.ed25519 import verify
from contract.desired import Desired

log = logging.getLogger(__name__)


class Desk:
    """Judges documents for one device.

    ``held`` returns the document in force, as it is on disk; ``accept`` puts another in force, on disk
    before anything else.
    """

    def __init__(
        self, facts: DeviceFacts, held: Callable[[], Desired | None], accept: Callable[[Desired], None]
    ) -> None:
        self._facts = facts
        self._held = held
        self._accept = accept
        self._keys = {keyid: bytes.fromhex(key) for keyid, key in facts.desired_keys.items()}
        self._lock = threading.Lock()

    def offer(self, envelope: bytes) -> Desired | Refused:
        """Judge an envelope; an accepted document is in force when this returns.

        Raises `StateWriteError` where it is acceptable and cannot be written: then nothing changed.
        """
        # One at a time: between the look at the floor and the write nobody may raise the floor.
        with self._lock:
            held = self._held()
            expected = Expected(
                device=self._facts.device,
                workspace=self._facts.workspace,
                floor=held.generation if held else 0,
                keys=self._keys,
                now=datetime.now(UTC),
            )
            verdict = judge(envelope, expected, verify)
            if isinstance(verdict, Desired):
                try:
                    self._accept(verdict)
                except OSError as error:
                    raise StateWriteError(
                        f"the document is acceptable and cannot be written ({error.strerror})",
                        where="state_dir",
                        fix="Make room on the disk, and give the document again.",
                    ) from error
                log.info("accepted generation %d (%s)", verdict.generation, verdict.rollout)
            return verdict
