"""Leads rollouts over their devices: asks the rules, and does what they say, one transaction a step.

What is decided is kept with what it does, so a hub that is killed anywhere goes on where it was. Envelopes go
out after that; a device that missed one asks. The rollout's row is locked: two hubs that both believe to lead
do nothing twice.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from cloud_hub.db.engine import Database
from cloud_hub.pki.signer import DesiredSigner
from cloud_hub.rollouts.current import AT_ONCE
from cloud_hub.rollouts.documents import Content
from cloud_hub.rollouts.moving import Pushes, move, take_back
from cloud_hub.rollouts.progress import member_of, progress
from cloud_hub.rollouts.questions import Questions, Watched
from cloud_hub.rollouts.rows import RolloutDeviceRow, RolloutRow
from cloud_hub.rollouts.standing import keep, rules_of, standing_of
from cloud_hub.rollouts.waves import ACTIVE, Decision, Member, Standing, decide, noted
from contract.agent_release import ORDERED_AS
from contract.encoding import decode

log = logging.getLogger(__name__)

STEPS_AT_ONCE = 100
MOVED_AT_ONCE = 1000


class Conductor:
    """Takes each active rollout a step further."""

    def __init__(
        self,
        database: Database,
        signer: DesiredSigner,
        push: Callable[[str, bytes], None],
        questions: Questions,
    ) -> None:
        self._database = database
        self._questions = questions
        self._signer = signer
        self._push = push

    def tick(self) -> float:
        """Take every active rollout as far as it goes now; return how many seconds it took to see that.

        What was done in between is not in that: to look at thousands of devices again and again costs, to
        move them is the work itself.
        """
        with self._database.reading() as session:
            query = select(RolloutRow.id).where(RolloutRow.state.in_(ACTIVE)).order_by(RolloutRow.id)
            active = list(session.scalars(query))
        self._questions.keep(active)
        looked_s = 0.0
        for rollout in active:
            try:
                looked_s += self._go_on(rollout)
            except Exception:
                log.exception("rollout %d could not go on; tried again", rollout)
        return looked_s

    def _go_on(self, rollout: int) -> float:
        """Take a rollout as far as it goes; return how many seconds the last look took."""
        looked_s = 0.0
        for _ in range(STEPS_AT_ONCE):
            began_s = time.monotonic()
            with self._database.reading() as session:  # mostly there is nothing to do, and nobody has to wait
                row = session.get_one(RolloutRow, rollout)
                look = self._look(session, row, datetime.now(UTC))
                if look.decision.ask:
                    watched = Watched.of(row.id, look.decision.standing)
                    self._questions.ask(watched, row.workspace, rules_of(row).queries, look.members)
                looked_s = time.monotonic() - began_s
                if look.changes_nothing:
                    break
            with self._database.transaction() as session:
                row, now = session.get_one(RolloutRow, rollout, with_for_update=True), datetime.now(UTC)
                pushes = self._do(session, row, self._look(session, row, now), now)
            for device, envelope in pushes:
                self._push(device, envelope)
        return looked_s

    def _look(self, session: Session, row: RolloutRow, now: datetime) -> "_Look":
        rules, standing, agent = rules_of(row), standing_of(row), ORDERED_AS in row.images
        if standing.state not in ACTIVE:
            return _Look(standing, Decision(standing=standing), [], [])
        members = [member_of(each, agent=agent) for each in progress(session, [row.id])[row.id]]
        known = [noted(rules, member, now) for member in members]
        changed = [new for old, new in zip(members, known, strict=True) if new != old]
        answers = self._questions.latest(Watched.of(row.id, standing))
        return _Look(standing, decide(rules, standing, known, now, answers), known, changed)

    def _do(self, session: Session, row: RolloutRow, look: "_Look", now: datetime) -> Pushes:
        """Do what was decided, and return what is to be sent."""
        pushes: Pushes = []
        for member in look.to_note:
            given = (RolloutDeviceRow.rollout == row.id) & (RolloutDeviceRow.device == member.device)
            kept = {"ran_at": member.ran_at, "unsettled_at": member.unsettled_at}
            session.execute(update(RolloutDeviceRow).where(given).values(kept))
        if look.decision.give:
            pending = _locked(session, row.id, "pending", look.decision.give)
            content = decode(row.content or b"", Content, what="content of a rollout")
            pushes = move(session, self._signer, row, pending, content, now)
        if look.decision.take_back:
            moved = _locked(session, row.id, "moved", look.decision.take_back)
            pushes = take_back(session, self._signer, row, moved, now)
        keep(session, row, look.decision.standing, now)
        return pushes


@dataclass(frozen=True)
class _Look:
    """What the rules say now, and of which members something is to be kept."""

    before: Standing
    decision: Decision
    members: list[Member]
    to_note: list[Member]

    @property
    def changes_nothing(self) -> bool:
        """Is all as it was?"""
        same = Decision(standing=self.before, ask=self.decision.ask)
        return self.decision == same and not self.to_note


def _locked(session: Session, rollout: int, phase: str, devices: Sequence[str]) -> list[RolloutDeviceRow]:
    """Return the rows of devices that are still in ``phase``; another rollout may have taken some."""
    found = list[RolloutDeviceRow]()
    devices = devices[:MOVED_AT_ONCE]
    given = RolloutDeviceRow
    for start in range(0, len(devices), AT_ONCE):
        some = given.device.in_(devices[start : start + AT_ONCE])
        query = select(given).where(given.rollout == rollout, given.phase == phase, some)
        found += session.scalars(query.order_by(given.place, given.device).with_for_update())
    return found
