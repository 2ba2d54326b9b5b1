"""What uses an image: rollouts that give it to devices, and devices that say that they run it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_hub.devices.rows import DeviceRow
from cloud_hub.rollouts.current import current, has_content
from cloud_hub.rollouts.earlier import may_be_given
from cloud_hub.rollouts.rows import DesiredRow, RolloutRow
from contract.agent_release import ORDERED_AS
from contract.messages import AgentReport, Reported


@dataclass(frozen=True)
class ImageUse:
    """A device's module whose image is ``image``: ``rollout`` says so, or (None) the device does."""

    device: str
    module: str
    image: str
    rollout: str | None

    @property
    def words(self) -> str:
        """Return the deployment by name."""
        if self.rollout is None:
            return f"device {self.device} runs it as {self.module}"
        return f"rollout {self.rollout} on device {self.device} as {self.module}"


def uses_of(session: Session, workspace: str, images: Iterable[str]) -> list[ImageUse]:
    """Return the uses of images (``name:version``), by rollout and device.

    A rollout counts on a device until a newer one takes the device over, whether it is finished there
    or not. One that is under way counts on the devices whose turn is to come, and what they had before it
    on those that it may yet have to give that back. A device whose certificate was revoked cannot pull,
    and does not count.
    """
    wanted = set(images)
    uses = [*_desired(session, workspace, wanted), *_under_way(session, workspace, wanted)]
    return [*uses, *_reported(session, workspace, wanted)]


def _desired(session: Session, workspace: str, images: set[str]) -> Iterator[ImageUse]:
    rows = session.execute(
        current(DesiredRow.device, RolloutRow.name, RolloutRow.revision, RolloutRow.images)
        .join(DeviceRow, DeviceRow.id == DesiredRow.device)
        .where(RolloutRow.workspace == workspace, DeviceRow.revoked_at.is_(None), has_content())
        .order_by(RolloutRow.name, RolloutRow.revision, DesiredRow.device)
    ).all()
    for device, name, revision, modules in rows:
        yield from _of(device, f"{name}:{revision}", modules, images)


def _under_way(session: Session, workspace: str, images: set[str]) -> Iterator[ImageUse]:
    revoked = DeviceRow.workspace == workspace, DeviceRow.revoked_at.is_not(None)
    without = set(session.scalars(select(DeviceRow.id).where(*revoked)))
    for device, rollout in may_be_given(session, workspace):
        row = session.get_one(RolloutRow, rollout)
        if device not in without:
            yield from _of(device, f"{row.name}:{row.revision}", row.images, images)


def _of(device: str, rollout: str, modules: Mapping[str, str], images: set[str]) -> Iterator[ImageUse]:
    for module, image in sorted(modules.items()):
        if image in images:
            yield ImageUse(device, module, image, rollout)


def _reported(session: Session, workspace: str, images: set[str]) -> Iterator[ImageUse]:
    rows = session.execute(
        select(DeviceRow.id, DeviceRow.reported)
        .where(DeviceRow.workspace == workspace, DeviceRow.revoked_at.is_(None))
        .order_by(DeviceRow.id)
    ).all()
    for device, told in rows:
        reported = msgspec.convert(told, Reported) if told else None
        for module in reported.modules if reported else ():
            if module.image in images:
                yield ImageUse(device, module.name, module.image, None)
        if reported and isinstance(reported.agent, AgentReport) and reported.agent.release in images:
            yield ImageUse(device, ORDERED_AS, reported.agent.release, None)
