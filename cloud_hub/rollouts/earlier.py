"""What devices had before a rollout, and so what its end may yet give them."""

from collections.abc import Iterator, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_hub.rollouts.current import AT_ONCE
from cloud_hub.rollouts.rows import DesiredRow, RolloutDeviceRow, RolloutRow
from cloud_hub.rollouts.waves import ACTIVE


class Earlier:
    """What some devices, at most some hundreds, were given by all rollouts."""

    def __init__(self, session: Session, devices: Sequence[str]) -> None:
        given, kept = RolloutDeviceRow, DesiredRow
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

    def generation_before(self, member: RolloutDeviceRow) -> int | None:
        """Return the newest generation from before a rollout whose own rollout was not aborted."""
        generation = member.before
        while generation is not None:
            rollout = self._rollout_of[member.device, generation]
            giver = self._members.get((rollout, member.device))
            if rollout not in self._aborted or giver is None:
                return generation
            generation = giver.before
        return None

    def rollout_before(self, member: RolloutDeviceRow) -> int | None:
        """Return the rollout that gave that generation."""
        generation = self.generation_before(member)
        return None if generation is None else self._rollout_of[member.device, generation]

    def is_again(self, rollout: int, device: str, generation: int) -> None:
        """Note that a device has an earlier rollout's content again, in a new generation."""
        giver = self._members.get((rollout, device))
        if giver is not None and giver.phase == "moved":
            giver.generation = generation


def given_back(session: Session, rollout: int) -> Iterator[tuple[str, int]]:
    """Yield each device that an abort of a rollout would give back what it had, and whose content that is."""
    given = RolloutDeviceRow
    query = select(given).where(given.rollout == rollout, given.phase == "moved").order_by(given.device)
    members = session.scalars(query).all()
    for start in range(0, len(members), AT_ONCE):
        some = members[start : start + AT_ONCE]
        earlier = Earlier(session, [member.device for member in some])
        for member in some:
            if (before := earlier.rollout_before(member)) is not None:
                yield member.device, before


def may_be_given(session: Session, workspace: str) -> Iterator[tuple[str, int]]:
    """Yield devices, and the rollouts whose content those that have not ended may yet give them.

    That is a rollout's own where the device's turn is to come, and what the device had where it may have to
    be given back.
    """
    unended = RolloutRow.workspace == workspace, RolloutRow.state.in_((*ACTIVE, "paused"))
    given = RolloutDeviceRow
    for rollout in session.scalars(select(RolloutRow.id).where(*unended).order_by(RolloutRow.id)):
        pending = select(given.device).where(given.rollout == rollout, given.phase == "pending")
        for device in session.scalars(pending.order_by(given.device)):
            yield device, rollout
        yield from given_back(session, rollout)
