"""The services that the HTTP edge calls, as `cloud_hub.app` builds them."""

from collections.abc import Callable
from dataclasses import dataclass

from cloud_hub.access.limits import AttemptLimits
from cloud_hub.access.members import Members
from cloud_hub.access.people import People
from cloud_hub.access.tokens import Tokens
from cloud_hub.activities.service import Activities
from cloud_hub.activities.stream import Streams
from cloud_hub.audit.service import Audit
from cloud_hub.blobs.service import Blobs
from cloud_hub.blobs.sweep import Sweeper
from cloud_hub.blobs.uploads import Uploads
from cloud_hub.cluster.share import Share
from cloud_hub.datastores.first import FirstDatastores
from cloud_hub.datastores.service import Datastores
from cloud_hub.datastores.telemetry import TelemetryStores
from cloud_hub.db.engine import Database
from cloud_hub.devices.claims import Claims
from cloud_hub.devices.pending import PendingDevices
from cloud_hub.devices.service import Devices
from cloud_hub.experiments.service import Experiments
from cloud_hub.image_stores.moving import ImageMover
from cloud_hub.image_stores.service import ImageStores
from cloud_hub.images.builds import ImageBuilds
from cloud_hub.images.pushed import PushedImages
from cloud_hub.images.service import Images
from cloud_hub.models.service import Models
from cloud_hub.pki.authority import Authority
from cloud_hub.registry.changes import Changes
from cloud_hub.registry.collection import Collector
from cloud_hub.registry.pushes import Pushes
from cloud_hub.registry.service import Registry
from cloud_hub.registry.tokens import RegistryTokens
from cloud_hub.rollouts.conductor import Conductor
from cloud_hub.rollouts.service import Rollouts
from cloud_hub.rollouts.steering import Steering
from cloud_hub.secrets.service import Secrets
from cloud_hub.settings import Settings
from cloud_hub.telemetry.query import Telemetry
from cloud_hub.webhooks.deliverer import Deliverer
from cloud_hub.webhooks.service import Webhooks
from cloud_hub.workspaces.service import Workspaces


@dataclass(frozen=True)
class ImageServices:
    """Those of images."""

    images: Images
    image_builds: ImageBuilds
    image_stores: ImageStores
    image_mover: ImageMover
    pushed_images: PushedImages
    registry: Registry
    registry_changes: Changes
    registry_tokens: RegistryTokens
    pushes: Pushes
    collector: Collector


@dataclass(frozen=True)
class Services(ImageServices):
    """One of each."""

    settings: Settings
    authority: Authority
    disconnect: Callable[[str], None]
    limits: AttemptLimits
    tokens: Tokens
    people: People
    members: Members
    workspaces: Workspaces
    experiments: Experiments
    models: Models
    devices: Devices
    claims: Claims
    pending: PendingDevices
    rollouts: Rollouts
    steering: Steering
    conductor: Conductor
    telemetry: Telemetry
    telemetry_stores: TelemetryStores
    activities: Activities
    streams: Streams
    webhooks: Webhooks
    deliverer: Deliverer
    blobs: Blobs
    audit: Audit
    secrets: Secrets
    datastores: Datastores
    first_datastores: FirstDatastores
    uploads: Uploads
    sweeper: Sweeper
    share: Share
    broker_connected: Callable[[], bool]
    database: Database
