"""A hub's API without its broker: real services over a real database and folder, pushes thrown away."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cloud_hub.access.tokens import make_token
from cloud_hub.audit.actor import Actor
from cloud_hub.init import initialise
from cloud_hub.services import Services
from cloud_hub.settings import Settings
from cloud_hub.wiring import Core, build_services

WORKSPACE = "shop"


@dataclass(frozen=True)
class World:
    """A hub with the workspace shop, and two tokens: its Owner's and the administrator's."""

    services: Services
    owner: str
    administrator: str
    data_dir: Path


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Make one in ``folder``."""
    settings = Settings(data_dir=folder / "hub", max_model_bytes=1024**2)
    administrator = initialise(settings)
    core = Core.open(settings)
    services = build_services(settings, core, lambda _device, _envelope: None)
    by = Actor("admin")
    services.workspaces.create(WORKSPACE, by)
    services.people.create("ana", admin=False, by=by)
    services.members.share(WORKSPACE, "ana", "Owner", by)
    with core.database.transaction() as session:
        owner, _ = make_token(session, "ana", "access", role="Owner", lifetime=timedelta(hours=1))
    try:
        yield World(services, owner, administrator, settings.data_dir)
    finally:
        services.activities.close()
        core.database.close()
