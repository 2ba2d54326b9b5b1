"""Where a model comes from, and where it has gone: run, images, devices."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cloud_hub.db.engine import Database
from cloud_hub.devices.rows import DeviceRow
from cloud_hub.experiments.rows import MetricRow, RunRow
from cloud_hub.images.rows import ImageModelRow, ImageRow
from cloud_hub.models.rows import ModelRow
from cloud_hub.rollouts.current import current, has_content
from cloud_hub.rollouts.rows import DesiredRow, RolloutRow
from contract.messages import Reported


@dataclass(frozen=True)
class RunLineage:
    """The run that made a model; of each metric the value logged last."""

    id: str
    experiment: str
    parent: str | None
    status: str
    parameters: dict[str, Any]
    metrics: dict[str, float]
    source: dict[str, str]


@dataclass(frozen=True)
class DeviceUse:
    """A device that shall run (``desired``) or says that it runs (``reported``) an image of the model."""

    device: str
    module: str
    image: str
    desired: bool
    reported: bool
    state: str | None


@dataclass(frozen=True)
class Lineage:
    """Both directions: the run it came from, the images that hold it, the devices that run those."""

    run: RunLineage | None
    images: list[str]
    devices: list[DeviceUse]


def lineage(database: Database, model: ModelRow) -> Lineage:
    """Return where a model comes from and where it is."""
    with database.transaction() as session:
        rows = session.execute(
            select(ImageRow.name, ImageRow.version)
            .join(ImageModelRow, ImageModelRow.image == ImageRow.id)
            .where(ImageModelRow.model == model.id)
            .order_by(ImageRow.name, ImageRow.version)
        ).all()
        images = [f"{name}:{version}" for name, version in rows]
        run = _run(session, model.run) if model.run is not None else None
        devices = list(_devices(session, model.workspace, set(images))) if images else []
    return Lineage(run, images, devices)


def _run(session: Session, run: str) -> RunLineage | None:
    row = session.get(RunRow, run)
    if row is None:
        return None
    last = select(func.max(MetricRow.id)).where(MetricRow.run == run).group_by(MetricRow.name)
    metrics = session.execute(
        select(MetricRow.name, MetricRow.value).where(MetricRow.id.in_(last)).order_by(MetricRow.name)
    ).all()
    return RunLineage(
        row.id,
        row.experiment,
        row.parent,
        row.status,
        row.parameters,
        {row[0]: row[1] for row in metrics},
        row.source,
    )


def _devices(session: Session, workspace: str, images: set[str]) -> Iterator[DeviceUse]:
    wanted_rows = session.execute(
        current(DesiredRow.device, RolloutRow.images).where(RolloutRow.workspace == workspace, has_content())
    ).all()
    desired: dict[str, dict[str, str]] = {row[0]: row[1] for row in wanted_rows}
    devices = session.execute(
        select(DeviceRow.id, DeviceRow.reported)
        .where(DeviceRow.workspace == workspace, DeviceRow.revoked_at.is_(None))
        .order_by(DeviceRow.id)
    ).all()
    for device, told in devices:
        reported = msgspec.convert(told, Reported) if told else None
        running = {module.name: module for module in reported.modules} if reported else {}
        wanted = desired.get(device, {})
        for module in sorted(wanted.keys() | running.keys()):
            now = running.get(module)
            for image in sorted({wanted.get(module, ""), now.image if now else ""} & images):
                here = now is not None and now.image == image
                yield DeviceUse(
                    device,
                    module,
                    image,
                    wanted.get(module) == image,
                    here,
                    now.state if here and now else None,
                )
