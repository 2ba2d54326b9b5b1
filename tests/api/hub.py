"""A hub's API without its broker: real services over a real database and folder, pushes thrown away."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cloud_hub.access.tokens import make_token
from cloud_hub.audit.actor import Actor
from cloud_hub.init import initialise, make_folders
from cloud_hub.services import Services
from cloud_hub.settings import Settings
from cloud_hub.wiring import Core, build_services
from tests.hub.databases import migrated_sqlite

WORKSPACE = "shop"


@dataclass(frozen=True)
class World:
    """A hub with the workspace shop, and two tokens: its Owner's and the administrator's."""

    services: Services
    owner: str
    administrator: str
    data_dir: Path


def new_hub(settings: Settings) -> str:
    """Do what `initialise` does; it finds its schema made already, which is most of what it costs."""
    make_folders(settings.data_dir)
    (settings.data_dir / "hub.db").write_bytes(migrated_sqlite())
    return initialise(settings)


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Make one in ``folder``."""
    settings = Settings(data_dir=folder / "hub", max_model_bytes=1024**2)
    administrator = new_hub(settings)
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
