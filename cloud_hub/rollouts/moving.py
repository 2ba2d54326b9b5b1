"""Gives devices of a rollout their next documents: the rollout's own, or what they had before it."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from cloud_hub.pki.signer import DesiredSigner
from cloud_hub.rollouts.current import AT_ONCE
from cloud_hub.rollouts.documents import Content, content_of, document, generations
from cloud_hub.rollouts.earlier import Earlier
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
            generation = earlier.generation_before(member)
            found = session.get_one(DesiredRow, (member.device, generation)) if generation else None
            nothing = Content(rollout=f"{label(rollout)} taken back")
            content = content_of(found.envelope) if found else nothing
            source = session.get_one(RolloutRow, found.rollout) if found else rollout
            row = _sign(signer, source, member.device, known[member.device][1], content, now)
            session.add(row)
            if found:
                earlier.is_again(found.rollout, member.device, row.generation)
            member.phase, member.generation, member.moved_at = "returned", row.generation, now
            pushes.append((member.device, row.envelope))
    return pushes


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
