"""Builds the hub's services out of rows, bytes and keys: everything but the broker and the HTTP edge."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cloud_hub.access.limits import AttemptLimits
from cloud_hub.access.members import Members
from cloud_hub.access.people import People
from cloud_hub.access.tokens import Tokens
from cloud_hub.activities.service import Activities
from cloud_hub.blobs.folder import FolderStore
from cloud_hub.blobs.service import Blobs
from cloud_hub.blobs.sweep import Sweeper
from cloud_hub.blobs.uploads import Uploads
from cloud_hub.db.engine import Database
from cloud_hub.devices.service import Devices, HubFacts
from cloud_hub.experiments.service import Experiments
from cloud_hub.images.service import Images
from cloud_hub.init import PKI, SIGNING_KEY, database_of, issue_server_certificate
from cloud_hub.models.service import Models
from cloud_hub.pki.authority import Authority
from cloud_hub.pki.signer import DesiredSigner
from cloud_hub.registry.service import Registry
from cloud_hub.rollouts.service import Push, Rollouts
from cloud_hub.services import Services
from cloud_hub.settings import Settings
from cloud_hub.telemetry.files import Files
from cloud_hub.telemetry.query import Telemetry
from cloud_hub.workspaces.service import Workspaces


@dataclass(frozen=True)
class Core:
    """What is there before the broker and the HTTP edge: rows, bytes, keys, devices."""

    database: Database
    store: FolderStore
    authority: Authority
    signer: DesiredSigner
    devices: Devices
    files: Files
    certificate: Path
    key: Path

    @classmethod
    def open(cls, settings: Settings) -> "Core":
        """Open the hub of ``settings.data_dir``, its schema brought up to date."""
        pki = settings.data_dir / PKI
        certificate, key = issue_server_certificate(settings)
        database = database_of(settings)
        database.migrate()
        authority, signer = Authority.load(pki), DesiredSigner.load(pki / SIGNING_KEY)
        store = FolderStore(settings.data_dir / "objects")
        facts = HubFacts(settings.url, settings.host, settings.mqtt_port, signer.public_keys())
        return cls(
            database=database,
            store=store,
            authority=authority,
            signer=signer,
            devices=Devices(database, authority, facts),
            files=Files(database, store),
            certificate=certificate,
            key=key,
        )


def build_services(settings: Settings, core: Core, push: Push) -> Services:
    """Return every service; ``push(device, envelope)`` tells a device what it shall run."""
    database, data_dir = core.database, settings.data_dir
    work_dir = data_dir / "work"
    blobs = Blobs(database, core.store, work_dir)
    uploads = Uploads(database, blobs, work_dir / "uploads", most_bytes=settings.max_model_bytes)
    sweeper = Sweeper(
        database,
        core.store,
        blobs,
        uploads.folder,
        grace=timedelta(seconds=settings.keep_unlinked_s),
        keep_uploads=timedelta(seconds=settings.keep_uploads_s),
    )
    models = Models(database, blobs, most_bytes=settings.max_model_bytes)
    activities = Activities(database, at_once=settings.builds_at_once)
    limits = AttemptLimits(database)
    tokens = Tokens(database, limits)
    return Services(
        settings=settings,
        authority=core.authority,
        limits=limits,
        tokens=tokens,
        people=People(database, tokens, limits),
        members=Members(database, tokens),
        workspaces=Workspaces(database),
        experiments=Experiments(database, blobs),
        models=models,
        images=Images(database, blobs, models, activities, work_dir=work_dir, cache_dir=data_dir / "cache"),
        registry=Registry(database, blobs),
        devices=core.devices,
        rollouts=Rollouts(database, core.signer, push),
        telemetry=Telemetry(database, core.store, core.files),
        activities=activities,
        blobs=blobs,
        uploads=uploads,
        sweeper=sweeper,
        database=database,
    )
