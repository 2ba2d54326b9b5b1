"""The typed Python SDK.

    from cloud_hub.sdk import Hub

    with Hub.connect() as hub, hub.workspace("shop").start_run("digits") as run:
        run.log_metric("accuracy", 0.97)

Always true here: the hub is known only over HTTPS; nothing of the hub's other rooms is imported.
"""

from cloud_hub.sdk.audit import AuditLog
from cloud_hub.sdk.baseline import baseline
from cloud_hub.sdk.context import Context
from cloud_hub.sdk.errors import (
    ActivityFailedError,
    HubRefusedError,
    HubUnreachableError,
    SdkError,
    WebhookFailedError,
)
from cloud_hub.sdk.events import ActivityEvent, Advance, End, Line
from cloud_hub.sdk.hub import Hub
from cloud_hub.sdk.run import Run
from cloud_hub.sdk.types import Activity, Delivery, Device, Image, Lineage, Member, Model, Rollout, RunInfo
from cloud_hub.sdk.vault_types import AuditEntry, AuditVerdict, Secret
from cloud_hub.sdk.workspace import Workspace

__all__ = [
    "Activity",
    "ActivityEvent",
    "ActivityFailedError",
    "Advance",
    "AuditEntry",
    "AuditLog",
    "AuditVerdict",
    "Context",
    "Delivery",
    "Device",
    "End",
    "Hub",
    "HubRefusedError",
    "HubUnreachableError",
    "Image",
    "Line",
    "Lineage",
    "Member",
    "Model",
    "Rollout",
    "Run",
    "RunInfo",
    "SdkError",
    "Secret",
    "WebhookFailedError",
    "Workspace",
    "baseline",
]
