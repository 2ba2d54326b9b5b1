"""Every domain's rows in one place, so that migrations see the whole schema."""

from cloud_hub.access import rows as access_rows
from cloud_hub.activities import rows as activity_rows
from cloud_hub.audit import rows as audit_rows
from cloud_hub.blobs import rows as blob_rows
from cloud_hub.cluster import rows as cluster_rows
from cloud_hub.datastores import rows as datastore_rows
from cloud_hub.db import rows as hub_rows
from cloud_hub.db.base import Base
from cloud_hub.devices import rows as device_rows
from cloud_hub.experiments import rows as experiment_rows
from cloud_hub.image_stores import rows as image_store_rows
from cloud_hub.images import rows as image_rows
from cloud_hub.images.bases import rows as base_rows
from cloud_hub.models import rows as model_rows
from cloud_hub.registry import rows as registry_rows
from cloud_hub.rollouts import rows as rollout_rows
from cloud_hub.secrets import rows as secret_rows
from cloud_hub.telemetry import rows as telemetry_rows
from cloud_hub.webhooks import rows as webhook_rows
from cloud_hub.workspaces import rows as workspace_rows

DOMAINS = (
    access_rows,
    activity_rows,
    audit_rows,
    base_rows,
    blob_rows,
    cluster_rows,
    datastore_rows,
    device_rows,
    experiment_rows,
    hub_rows,
    image_rows,
    image_store_rows,
    model_rows,
    registry_rows,
    rollout_rows,
    secret_rows,
    telemetry_rows,
    webhook_rows,
    workspace_rows,
)
METADATA = Base.metadata
