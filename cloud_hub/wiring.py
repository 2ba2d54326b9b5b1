"""Builds the hub's services out of rows, bytes and keys: everything but the broker and the HTTP edge."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cloud_hub.access.limits import AttemptLimits
from cloud_hub.access.members import Members
from cloud_hub.access.people import People
from cloud_hub.access.tokens import Tokens
from cloud_hub.activities.kinds import Kind
from cloud_hub.activities.service import Activities
from cloud_hub.activities.stream import Streams
from cloud_hub.audit.service import Audit
from cloud_hub.blobs.claim import claim
from cloud_hub.blobs.credentials import load_credentials
from cloud_hub.blobs.location import read_location
from cloud_hub.blobs.opening import open_with_files
from cloud_hub.blobs.part_blocks import BlockParts
from cloud_hub.blobs.parts import FileParts, Parts
from cloud_hub.blobs.port import LocalFiles, ObjectStore
from cloud_hub.blobs.service import Blobs
from cloud_hub.blobs.sweep import Sweeper
from cloud_hub.blobs.uploads import Uploads
from cloud_hub.broker.cluster import Cluster
from cloud_hub.cluster.leases import Leases
from cloud_hub.cluster.share import Alone, Share
from cloud_hub.cluster.work import PARTITIONS, all_work
from cloud_hub.datastores.first import FirstDatastores
from cloud_hub.datastores.service import Datastores
from cloud_hub.datastores.telemetry import TelemetryStores
from cloud_hub.db.engine import Database
from cloud_hub.db.owner import claim as claim_database
from cloud_hub.devices.service import Devices, HubFacts
from cloud_hub.experiments.service import Experiments
from cloud_hub.image_stores.moving import ImageMover
from cloud_hub.image_stores.outside import OutsideRegistries
from cloud_hub.image_stores.service import ImageStores
from cloud_hub.images.bases.for_builds import Bases
from cloud_hub.images.builds import ImageBuilds
from cloud_hub.images.deltas.service import ImageDeltas
from cloud_hub.images.earlier import complete_earlier
from cloud_hub.images.removal import in_use
from cloud_hub.images.service import Images
from cloud_hub.init import (
    PKI,
    SIGNING_KEY,
    database_of,
    issue_member_certificate,
    issue_server_certificate,
)
from cloud_hub.keys import open_master_keys
from cloud_hub.models.service import Models
from cloud_hub.oci_client.access import RegistryAccess
from cloud_hub.outbound.policy import parse_allowed
from cloud_hub.pki.authority import Authority
from cloud_hub.pki.signer import DesiredSigner
from cloud_hub.registry.changes import Changes
from cloud_hub.registry.collection import Collector
from cloud_hub.registry.pushes import Pushes
from cloud_hub.registry.service import Registry
from cloud_hub.registry.tokens import RegistryTokens
from cloud_hub.rollouts.service import Push, Rollouts
from cloud_hub.secrets.key_file import FileMasterKeys
from cloud_hub.secrets.service import Secrets
from cloud_hub.services import Services
from cloud_hub.settings import Settings
from cloud_hub.telemetry.attached import AttachedFiles
from cloud_hub.telemetry.files import Files
from cloud_hub.telemetry.query import Telemetry
from cloud_hub.webhooks.deliverer import Deliverer
from cloud_hub.webhooks.guarded_outbound import GuardedOutbound
from cloud_hub.webhooks.key_sealed_text import KeySealedText
from cloud_hub.webhooks.service import Webhooks
from cloud_hub.workspaces.service import Workspaces


@dataclass(frozen=True)
class Core:
    """What is there before the broker and the HTTP edge: rows, bytes, keys, devices."""

    database: Database
    store: ObjectStore
    local: LocalFiles
    authority: Authority
    signer: DesiredSigner
    master_keys: FileMasterKeys
    audit: Audit
    devices: Devices
    secrets: Secrets
    registries: OutsideRegistries
    datastores: Datastores
    telemetry_stores: TelemetryStores
    files: Files
    certificate: Path
    key: Path
    cluster: Cluster | None
    share: Share

    @classmethod
    def open(cls, settings: Settings) -> "Core":
        """Open the hub of ``settings.data_dir``, its schema brought up to date."""
        pki = settings.data_dir / PKI
        certificate, key = issue_server_certificate(settings)
        database = database_of(settings)
        database.migrate()
        authority, signer = Authority.load(pki), DesiredSigner.load(pki / SIGNING_KEY)
        claim_database(database, authority.fingerprint)
        store, local = open_bytes(settings)
        facts = HubFacts(settings.url, *settings.mqtt_address, signer.public_keys())
        master_keys = open_master_keys(pki, database)
        audit = Audit(database, master_keys.derive("audit"))
        secrets = Secrets(database, master_keys, audit)
        datastores = Datastores(database, store, secrets, audit, settings)
        telemetry_stores = TelemetryStores(database, datastores)
        return cls(
            database=database,
            store=store,
            local=local,
            authority=authority,
            signer=signer,
            master_keys=master_keys,
            audit=audit,
            devices=Devices(database, authority, facts, audit),
            secrets=secrets,
            registries=OutsideRegistries(database, secrets, RegistryAccess.of(settings)),
            datastores=datastores,
            telemetry_stores=telemetry_stores,
            files=Files(database, store, telemetry_stores),
            certificate=certificate,
            key=key,
            cluster=issue_member_certificate(settings),
            share=_share(settings, database),
        )


def partitions_of(settings: Settings) -> int:
    """Return in how many parts telemetry is taken in."""
    return PARTITIONS if settings.clustered else 1


def _share(settings: Settings, database: Database) -> Share:
    work = all_work(partitions_of(settings))
    if settings.clustered:
        return Leases(database, settings.cluster_address, work)
    return Alone(settings.url, work)


def open_bytes(settings: Settings) -> tuple[ObjectStore, LocalFiles]:
    """Return where bytes are kept, and the door by which what reads files itself gets at them."""
    location = read_location(settings.bytes_url)
    store, local = open_with_files(
        settings.bytes_url,
        load_credentials(location.scheme, settings.object_store_credentials, os.environ),
        settings.data_dir / "cache" / "telemetry",
        settings.telemetry_cache_bytes,
    )
    if settings.object_store:
        claim(store, settings.data_dir, location.where)
    return store, local


def build_services(
    settings: Settings,
    core: Core,
    push: Push,
    *,
    kinds: Iterable[Kind] = (),
    broker_connected: Callable[[], bool] = lambda: True,
) -> Services:
    """Return every service; ``push(device, envelope)`` tells a device what to run; ``kinds`` are more."""
    database, audit, blobs = core.database, core.audit, _blobs(settings, core)
    limits = AttemptLimits(database)
    tokens = Tokens(database, limits, audit)
    sealed, outbound = _webhook_doors(settings, core)
    webhooks = Webhooks(database, sealed, audit, outbound.check)
    activities = _activities(settings, core, webhooks, kinds)
    people, registry = People(database, tokens, limits, audit), Registry(database, blobs)
    uploads = Uploads(database, blobs, _parts(settings, core, "uploads"), most_bytes=settings.max_model_bytes)
    deltas, pushes = _deltas(settings, core, registry, activities), _pushes(settings, core, blobs)
    models = Models(database, blobs, audit, most_bytes=settings.max_model_bytes)
    return Services(
        settings=settings,
        authority=core.authority,
        limits=limits,
        tokens=tokens,
        people=people,
        members=Members(database, audit),
        workspaces=Workspaces(database, audit),
        experiments=Experiments(database, blobs),
        models=models,
        images=Images(database, audit),
        image_stores=ImageStores(database, core.registries, audit),
        image_mover=ImageMover(database, blobs, core.registries),
        image_builds=_image_builds(settings, core, registry, models, activities, deltas),
        image_deltas=deltas,
        registry=registry,
        registry_changes=Changes(database, registry, audit, in_use),
        registry_tokens=RegistryTokens(tokens, people, limits, core.master_keys.derive("registry-tokens")),
        pushes=pushes,
        collector=_collector(settings, core, registry, pushes),
        devices=core.devices,
        rollouts=Rollouts(database, core.signer, push, audit),
        telemetry=Telemetry(database, core.local, core.files, _attached(settings, core)),
        telemetry_stores=core.telemetry_stores,
        activities=activities,
        streams=Streams(settings.activity_streams),
        webhooks=webhooks,
        deliverer=Deliverer(database, outbound, sealed),
        blobs=blobs,
        audit=audit,
        secrets=core.secrets,
        datastores=core.datastores,
        first_datastores=FirstDatastores(core.datastores, core.telemetry_stores, core.secrets, audit),
        uploads=uploads,
        sweeper=_sweeper(settings, core, blobs, uploads),
        share=core.share,
        broker_connected=broker_connected,
        database=database,
    )


def _parts(settings: Settings, core: Core, name: str) -> Parts:
    """Return where what has arrived of uploads is: where every hub that may go on with them finds it."""
    if settings.clustered:
        return BlockParts(core.store, settings.data_dir / "work", name)
    return FileParts(settings.data_dir / name)


def _collector(settings: Settings, core: Core, registry: Registry, pushes: Pushes) -> Collector:
    return Collector(
        core.database,
        registry,
        pushes,
        grace=timedelta(seconds=settings.keep_unlinked_s),
        keep_uploads=timedelta(seconds=settings.keep_uploads_s),
    )


def _attached(settings: Settings, core: Core) -> AttachedFiles:
    cache_dir = settings.data_dir / "cache" / "datastores"
    return AttachedFiles(core.telemetry_stores, cache_dir, settings.telemetry_cache_bytes)


def _deltas(settings: Settings, core: Core, registry: Registry, activities: Activities) -> ImageDeltas:
    work_dir, versions = settings.data_dir / "work", settings.delta_versions
    return ImageDeltas(
        core.database, registry.blobs, registry, activities, work_dir=work_dir, versions=versions
    )


def _image_builds(
    settings: Settings,
    core: Core,
    registry: Registry,
    models: Models,
    activities: Activities,
    deltas: ImageDeltas,
) -> ImageBuilds:
    data_dir = settings.data_dir
    return ImageBuilds(
        core.database,
        registry.blobs,
        registry,
        models,
        activities,
        core.audit,
        work_dir=data_dir / "work",
        cache_dir=data_dir / "cache",
        debian_mirror=settings.debian_mirror,
        bases=Bases(core.database, registry.blobs, core.secrets, core.registries.access),
        registered=deltas.start,
    )


def _pushes(settings: Settings, core: Core, blobs: Blobs) -> Pushes:
    parts = _parts(settings, core, "registry-uploads")
    return Pushes(core.database, blobs, parts, most_bytes=settings.max_model_bytes)


def _webhook_doors(settings: Settings, core: Core) -> tuple[KeySealedText, GuardedOutbound]:
    sealed = KeySealedText(core.master_keys.derive("webhooks"))
    return sealed, GuardedOutbound(parse_allowed(settings.outbound_allow))


def _blobs(settings: Settings, core: Core) -> Blobs:
    """Return the blobs; what a migration could not read in them is looked up now."""
    blobs = Blobs(core.database, core.store, settings.data_dir / "work", core.registries)
    complete_earlier(core.database, blobs)
    return blobs


def _sweeper(settings: Settings, core: Core, blobs: Blobs, uploads: Uploads) -> Sweeper:
    return Sweeper(
        core.database,
        core.store,
        blobs,
        uploads.parts,
        grace=timedelta(seconds=settings.keep_unlinked_s),
        keep_uploads=timedelta(seconds=settings.keep_uploads_s),
    )


def _activities(settings: Settings, core: Core, webhooks: Webhooks, kinds: Iterable[Kind]) -> Activities:
    activities = Activities(
        core.database,
        core.audit,
        at_once=settings.builds_at_once,
        noted=webhooks.note_activity,
        lease_s=settings.activity_lease_s,
    )
    for kind in kinds:
        activities.register(kind)
    return activities
