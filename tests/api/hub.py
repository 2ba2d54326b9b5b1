"""A hub's API without its broker: real services over a real database and folder, pushes thrown away."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cloud_hub.access.service import Access
from cloud_hub.activities.service import Activities
from cloud_hub.blobs.folder import FolderStore
from cloud_hub.blobs.service import Blobs
from cloud_hub.db.engine import Database
from cloud_hub.devices.service import Devices, HubFacts
from cloud_hub.experiments.service import Experiments
from cloud_hub.images.service import Images
from cloud_hub.init import PKI, SIGNING_KEY, initialise
from cloud_hub.models.service import Models
from cloud_hub.pki.authority import Authority
from cloud_hub.pki.signer import DesiredSigner
from cloud_hub.registry.service import Registry
from cloud_hub.rollouts.service import Rollouts
from cloud_hub.services import Services
from cloud_hub.settings import Settings
from cloud_hub.telemetry.files import Files
from cloud_hub.telemetry.query import Telemetry
from cloud_hub.workspaces.service import Workspaces

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
    pki = settings.data_dir / PKI
    database = Database(f"sqlite:///{settings.data_dir / 'hub.db'}")
    store = FolderStore(settings.data_dir / "objects")
    work = settings.data_dir / "work"
    blobs = Blobs(database, store, work)
    authority, signer = Authority.load(pki), DesiredSigner.load(pki / SIGNING_KEY)
    activities = Activities(database, at_once=1)
    models, files = Models(database, blobs, work), Files(database, store)
    services = Services(
        settings=settings,
        authority=authority,
        access=Access(database),
        workspaces=Workspaces(database),
        experiments=Experiments(database, blobs),
        models=models,
        images=Images(database, blobs, models, activities, work_dir=work, cache_dir=folder / "cache"),
        registry=Registry(database, blobs),
        devices=Devices(database, authority, HubFacts("https://localhost", "localhost", 8883, {})),
        rollouts=Rollouts(database, signer, lambda _device, _envelope: None),
        telemetry=Telemetry(database, store, files),
        activities=activities,
        blobs=blobs,
    )
    services.workspaces.create(WORKSPACE)
    owner = services.access.create_token("ana", "Owner", WORKSPACE, None)
    try:
        yield World(services, owner, administrator, settings.data_dir)
    finally:
        activities.close()
        database.close()
