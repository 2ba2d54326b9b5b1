"""Builds the hub's services out of its core: everything but the broker and the HTTP edge."""

from collections.abc import Callable, Iterable
from datetime import timedelta

from cloud_hub.access.limits import AttemptLimits
from cloud_hub.access.members import Members
from cloud_hub.access.people import People
from cloud_hub.access.tokens import Tokens
from cloud_hub.activities.kinds import Kind
from cloud_hub.activities.service import Activities
from cloud_hub.activities.stream import Streams
from cloud_hub.blobs.service import Blobs
from cloud_hub.blobs.sweep import Sweeper
from cloud_hub.blobs.uploads import Uploads
from cloud_hub.core import Core, parts_of
from cloud_hub.datastores.first import FirstDatastores
from cloud_hub.devices.claims import Claims
from cloud_hub.devices.pending import PendingDevices
from cloud_hub.experiments.service import Experiments
from cloud_hub.images.earlier import complete_earlier
from cloud_hub.models.service import Models
from cloud_hub.outbound.policy import parse_allowed
from cloud_hub.rollouts.conductor import Conductor
from cloud_hub.rollouts.questions import Questions
from cloud_hub.rollouts.service import Push, Rollouts
from cloud_hub.rollouts.steering import Steering
from cloud_hub.services import Services
from cloud_hub.settings import Settings
from cloud_hub.telemetry.attached import AttachedFiles
from cloud_hub.telemetry.query import Telemetry
from cloud_hub.webhooks.deliverer import Deliverer
from cloud_hub.webhooks.guarded_outbound import GuardedOutbound
from cloud_hub.webhooks.key_sealed_text import KeySealedText
from cloud_hub.webhooks.service import Webhooks
from cloud_hub.wiring_images import image_services
from cloud_hub.workspaces.service import Workspaces


def build_services(
    settings: Settings,
    core: Core,
    push: Push,
    *,
    kinds: Iterable[Kind] = (),
    broker_connected: Callable[[], bool] = lambda: True,
    disconnect: Callable[[str], None] = lambda _device: None,
) -> Services:
    """Return every service; ``push(device, envelope)`` tells a device what it shall run, and
    ``disconnect(device)`` closes its connection.

    ``kinds`` of activities come on top of the hub's own.
    """
    database, audit = core.database, core.audit
    limits, blobs = AttemptLimits(database), _blobs(settings, core)
    tokens = Tokens(database, limits, audit)
    sealed, outbound = _webhook_doors(settings, core)
    webhooks = Webhooks(database, sealed, audit, outbound.check)
    activities = _activities(settings, core, webhooks, kinds)
    people = People(database, tokens, limits, audit)
    uploads = _uploads(settings, core, blobs)
    models = Models(database, blobs, audit, most_bytes=settings.max_model_bytes)
    images = image_services(settings, core, blobs, models, activities, (tokens, people, limits))
    telemetry = Telemetry(database, core.local, core.files, _attached(settings, core))
    return Services(
        **vars(images),
        settings=settings,
        authority=core.authority,
        disconnect=disconnect,
        limits=limits,
        tokens=tokens,
        people=people,
        members=Members(database, audit),
        workspaces=Workspaces(database, audit),
        experiments=Experiments(database, blobs),
        models=models,
        devices=core.devices,
        claims=Claims(database, core.authority, core.devices, limits, audit),
        pending=PendingDevices(database, audit),
        rollouts=Rollouts(database, core.signer, push, audit),
        steering=Steering(database, audit),
        conductor=Conductor(database, core.signer, push, Questions(telemetry.query)),
        telemetry=telemetry,
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


def _attached(settings: Settings, core: Core) -> AttachedFiles:
    cache_dir = settings.data_dir / "cache" / "datastores"
    return AttachedFiles(core.telemetry_stores, cache_dir, settings.telemetry_cache_bytes)


def _webhook_doors(settings: Settings, core: Core) -> tuple[KeySealedText, GuardedOutbound]:
    sealed = KeySealedText(core.master_keys.derive("webhooks"))
    return sealed, GuardedOutbound(parse_allowed(settings.outbound_allow))


def _blobs(settings: Settings, core: Core) -> Blobs:
    """Return the blobs; what a migration could not read in them is looked up now."""
    blobs = Blobs(core.database, core.store, settings.data_dir / "work", core.registries)
    complete_earlier(core.database, blobs)
    return blobs


def _uploads(settings: Settings, core: Core, blobs: Blobs) -> Uploads:
    parts = parts_of(settings, core, "uploads")
    return Uploads(core.database, blobs, parts, most_bytes=settings.max_model_bytes)


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
