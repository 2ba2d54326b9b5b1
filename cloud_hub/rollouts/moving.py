"""Gives devices of a rollout their next documents: the rollout's own, or what they had before it."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_hub.pki.signer import DesiredSigner
from cloud_hub.rollouts.documents import AT_ONCE, Content, content_of, document, generations
from cloud_hub.rollouts.rows import DesiredRow, RolloutDeviceRow, RolloutRow
from contract.encoding import encode

Pushes = list[tuple[str, bytes]]
"""Envelopes to be sent once they are kept, each with its device."""


def move(
    session: Session,
    signer: DesiredSigner,
    rollout: RolloutRow,
    members: Sequence[RolloutDeviceRow],
    content: Content,
    now: datetime,
) -> Pushes:
    """Give ``members`` the rollout's content, and note which generation each had before."""
    pushes: Pushes = []
    known = generations(session, [member.device for member in members])
    for member in members:
        before, generation = known[member.device]
        row = _sign(signer, rollout, member.device, generation, content, now)
        session.add(row)
        member.phase, member.before, member.generation = "moved", before or None, generation
        member.moved_at = now
        pushes.append((member.device, row.envelope))
    return pushes


def take_back(
    session: Session,
    signer: DesiredSigner,
    rollout: RolloutRow,
    members: Sequence[RolloutDeviceRow],
    now: datetime,
) -> Pushes:
    """Give ``members`` what they had before the rollout, or nothing to run where they had nothing.

    What a rollout gave them that was aborted too is passed over. A device that gets an earlier rollout's
    content is that rollout's again, so that an abort of that one finds it.
    """
    pushes: Pushes = []
    for start in range(0, len(members), AT_ONCE):
        some = members[start : start + AT_ONCE]
        devices = [member.device for member in some]
        known, earlier = generations(session, devices), Earlier(session, devices)
        for member in some:
            found = earlier.before(member)
            nothing = Content(rollout=f"{label(rollout)} taken back")
            content = content_of(found.envelope) if found else nothing
            source = session.get_one(RolloutRow, found.rollout) if found else rollout
            _, generation = known[member.device]
            row = _sign(signer, source, member.device, generation, content, now)
            session.add(row)
            if found:
                earlier.is_again(found.rollout, member.device, generation)
            member.phase, member.generation, member.moved_at = "returned", generation, now
            pushes.append((member.device, row.envelope))
    return pushes


class Earlier:
    """What some devices were given before."""

    def __init__(self, session: Session, devices: Sequence[str]) -> None:
        given, kept = RolloutDeviceRow, DesiredRow
        self._session = session
        self._members = {
            (row.rollout, row.device): row
            for row in session.scalars(select(given).where(given.device.in_(devices)))
        }
        rows = select(kept.device, kept.generation, kept.rollout).where(kept.device.in_(devices))
        self._rollout_of = {(device, number): rollout for device, number, rollout in session.execute(rows)}
        states = select(RolloutRow.id, RolloutRow.state).where(
            RolloutRow.id.in_({rollout for rollout, _ in self._members})
        )
        self._aborted = {
            rollout for rollout, state in session.execute(states) if state in {"aborting", "aborted"}
        }

    def before(self, member: RolloutDeviceRow) -> DesiredRow | None:
        """Return the newest document from before the rollout whose own rollout was not aborted."""
        generation = member.before
        while generation is not None:
            rollout = self._rollout_of[member.device, generation]
            giver = self._members.get((rollout, member.device))
            if rollout not in self._aborted or giver is None:
                return self._session.get_one(DesiredRow, (member.device, generation))
            generation = giver.before
        return None

    def is_again(self, rollout: int, device: str, generation: int) -> None:
        """Note that a device has an earlier rollout's content again, in a new generation."""
        giver = self._members.get((rollout, device))
        if giver is not None and giver.phase == "moved":
            giver.generation = generation


def label(rollout: RolloutRow) -> str:
    """Return the rollout's name with its revision."""
    return f"{rollout.name}:{rollout.revision}"


def _sign(
    signer: DesiredSigner,
    rollout: RolloutRow,
    device: str,
    generation: int,
    content: Content,
    now: datetime,
) -> DesiredRow:
    desired = document(rollout.workspace, device, generation, content, now)
    return DesiredRow(
        device=device,
        generation=generation,
        rollout=rollout.id,
        envelope=encode(signer.sign(encode(desired))),
        created_at=now,
    )
