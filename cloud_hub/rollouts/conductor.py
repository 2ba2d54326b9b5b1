"""Leads rollouts over their devices: asks the rules, and does what they say, one transaction a step.

What is decided is kept with what it does, so a hub that is killed anywhere goes on where it was. Envelopes go
out after that; a device that missed one asks. The rollout's row is locked: two hubs that both believe to lead
do nothing twice.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from cloud_hub.db.engine import Database
from cloud_hub.pki.signer import DesiredSigner
from cloud_hub.rollouts.documents import AT_ONCE, Content
from cloud_hub.rollouts.moving import Pushes, move, take_back
from cloud_hub.rollouts.progress import DeviceState, member_of, progress
from cloud_hub.rollouts.rows import RolloutDeviceRow, RolloutRow
from cloud_hub.rollouts.standing import keep, rules_of, standing_of
from cloud_hub.rollouts.waves import ACTIVE, decide
from contract.agent_release import ORDERED_AS
from contract.encoding import decode

log = logging.getLogger(__name__)

STEPS_AT_ONCE = 100
MOVED_AT_ONCE = 2000


class Conductor:
    """Takes each active rollout a step further."""

    def __init__(self, database: Database, signer: DesiredSigner, push: Callable[[str, bytes], None]) -> None:
        self._database = database
        self._signer = signer
        self._push = push

    def tick(self) -> None:
        """Take every active rollout as far as it goes now."""
        with self._database.reading() as session:
            query = select(RolloutRow.id).where(RolloutRow.state.in_(ACTIVE)).order_by(RolloutRow.id)
            active = list(session.scalars(query))
        for rollout in active:
            try:
                self._go_on(rollout)
            except Exception:
                log.exception("rollout %d could not go on; tried again", rollout)

    def _go_on(self, rollout: int) -> None:
        for _ in range(STEPS_AT_ONCE):
            with self._database.transaction() as session:
                more, pushes = self._step(session, rollout, datetime.now(UTC))
            for device, envelope in pushes:
                self._push(device, envelope)
            if not more:
                return

    def _step(self, session: Session, rollout: int, now: datetime) -> tuple[bool, Pushes]:
        """Do one step; return whether another may follow at once, and what is to be sent."""
        row = session.get_one(RolloutRow, rollout, with_for_update=True)
        before = standing_of(row)
        states = _heard(session, rollout, progress(session, [rollout])[rollout])
        agent = ORDERED_AS in row.images
        decision = decide(rules_of(row), before, [member_of(each, agent=agent) for each in states], now)
        pushes: Pushes = []
        if decision.give:
            pending = _locked(session, rollout, "pending", decision.give)
            content = decode(row.content or b"", Content, what="content of a rollout")
            pushes = move(session, self._signer, row, pending, content, now)
        if decision.take_back:
            moved = _locked(session, rollout, "moved", decision.take_back)
            pushes = take_back(session, self._signer, row, moved, now)
        keep(session, row, decision.standing, now)
        moved_on = (before.state, before.wave) != (decision.standing.state, decision.standing.wave)
        return moved_on or bool(pushes), pushes


def _heard(session: Session, rollout: int, states: list[DeviceState]) -> list[DeviceState]:
    """Note of devices that were given it when they were first heard of since."""
    noted = []
    for state in states:
        if state.phase == "moved" and state.heard_at is None and state.heard_since:
            given = (RolloutDeviceRow.rollout == rollout) & (RolloutDeviceRow.device == state.device)
            session.execute(update(RolloutDeviceRow).where(given).values(heard_at=state.seen_at))
            noted.append(replace(state, heard_at=state.seen_at))
        else:
            noted.append(state)
    return noted


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
