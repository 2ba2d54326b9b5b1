"""The typed Python SDK.

    from cloud_hub.sdk import Hub

    with Hub.connect() as hub, hub.workspace("shop").start_run("digits") as run:
        run.log_metric("accuracy", 0.97)

Always true here: the hub is known only over HTTPS; nothing of the hub's other rooms is imported.
"""

from cloud_hub.sdk.access import Members, Session, Tokens, Users
from cloud_hub.sdk.access_types import Me, Member, NewToken, Token, User, UserInvitation
from cloud_hub.sdk.audit import AuditLog
from cloud_hub.sdk.baseline import baseline
from cloud_hub.sdk.context import Context
from cloud_hub.sdk.datastores import Datastore, Datastores
from cloud_hub.sdk.differences import Difference
from cloud_hub.sdk.enrolments import ClaimInfo, PendingDevice, RejectedDevice
from cloud_hub.sdk.errors import (
    ActivityFailedError,
    HubRefusedError,
    HubUnreachableError,
    SdkError,
    WebhookFailedError,
)
from cloud_hub.sdk.events import ActivityEvent, Advance, End, Line
from cloud_hub.sdk.experiment import Experiment
from cloud_hub.sdk.hub import Hub
from cloud_hub.sdk.image_builds import BuildChoices
from cloud_hub.sdk.image_types import Attached, Image, ImagePlatform, ImageUse
from cloud_hub.sdk.rollout_types import ChangePlanned, DevicePlanned, Rollout, RolloutEvent, RolloutPlan
from cloud_hub.sdk.run import Run
from cloud_hub.sdk.types import (
    Activity,
    DatastoreFile,
    DatastoreInfo,
    Delivery,
    Device,
    ExperimentInfo,
    HubProcess,
    Lineage,
    Model,
    NewWebhook,
    Pulled,
    QueryResult,
    RunInfo,
    StoredFile,
    Stream,
    Webhook,
)
from cloud_hub.sdk.vault_types import AuditEntry, AuditVerdict, Secret, SecretVersion
from cloud_hub.sdk.webhooks import Webhooks
from cloud_hub.sdk.workspace import Workspace
from cloud_hub.sdk.workspace_types import ImageStore, TelemetryStore, WorkspaceInfo, WorkspaceOverview

__all__ = [
    "Activity",
    "ActivityEvent",
    "ActivityFailedError",
    "Advance",
    "Attached",
    "AuditEntry",
    "AuditLog",
    "AuditVerdict",
    "BuildChoices",
    "ChangePlanned",
    "ClaimInfo",
    "Context",
    "Datastore",
    "DatastoreFile",
    "DatastoreInfo",
    "Datastores",
    "Delivery",
    "Device",
    "DevicePlanned",
    "Difference",
    "End",
    "Experiment",
    "ExperimentInfo",
    "Hub",
    "HubProcess",
    "HubRefusedError",
    "HubUnreachableError",
    "Image",
    "ImagePlatform",
    "ImageStore",
    "ImageUse",
    "Line",
    "Lineage",
    "Me",
    "Member",
    "Members",
    "Model",
    "NewToken",
    "NewWebhook",
    "PendingDevice",
    "Pulled",
    "QueryResult",
    "RejectedDevice",
    "Rollout",
    "RolloutEvent",
    "RolloutPlan",
    "Run",
    "RunInfo",
    "SdkError",
    "Secret",
    "SecretVersion",
    "Session",
    "StoredFile",
    "Stream",
    "TelemetryStore",
    "Token",
    "Tokens",
    "User",
    "UserInvitation",
    "Users",
    "Webhook",
    "WebhookFailedError",
    "Webhooks",
    "Workspace",
    "WorkspaceInfo",
    "WorkspaceOverview",
    "baseline",
]
