"""The one table that says who may call what. A route that is not here stops the hub from starting.

A route of a workspace asks for the caller's role there; who has none is told that the workspace is
not there. ``shown`` routes check a credential of their own in the body.
"""

from typing import Literal

from cloud_hub.access.roles import Role
from contract.enrolment import CERTIFICATE_PATH, RENEW_PATH
from contract.secrets import DEVICE_SECRETS_PATH

Rule = Role | Literal["anyone", "shown", "signed-in", "puller", "pusher", "device"]
"""``puller``: a device by its certificate within its workspace, or a Reader; ``pusher``: a Contributor;
``device``: a device by its certificate, and nobody else.

Pullers and pushers may also show a token of the registry, which is for some repositories and actions.
"""

API = "/api/v1"
WORKSPACE = f"{API}/workspaces/{{workspace}}"

HUB: dict[str, Rule] = {
    f"POST {API}/session": "shown",
    f"POST {API}/session/invitation": "shown",
    f"DELETE {API}/session": "signed-in",
    f"GET {API}/me": "signed-in",
    f"PUT {API}/me/password": "signed-in",
    f"GET {API}/me/tokens": "signed-in",
    f"POST {API}/me/tokens": "signed-in",
    f"DELETE {API}/me/tokens/{{token}}": "signed-in",
    f"GET {API}/users": "Admin",
    f"POST {API}/users": "Admin",
    f"PATCH {API}/users/{{user}}": "Admin",
    f"POST {API}/users/{{user}}/invitation": "Admin",
    f"GET {API}/workspaces": "signed-in",
    f"POST {API}/workspaces": "Admin",
    f"GET {API}/hub/ready": "anyone",
    f"GET {API}/hub/processes": "Admin",
    f"GET {API}/audit": "Admin",
    f"GET {API}/audit/verify": "Admin",
    "GET /.well-known/est/cacerts": "anyone",
    "POST /.well-known/est/simpleenroll": "shown",
    f"POST {RENEW_PATH}": "device",
    f"GET {CERTIFICATE_PATH}": "device",
    f"GET {DEVICE_SECRETS_PATH}/{{secret}}": "device",
    "GET /v2/": "puller",
    "GET /v2/{workspace}/{image}/manifests/{reference}": "puller",
    "HEAD /v2/{workspace}/{image}/manifests/{reference}": "puller",
    "GET /v2/{workspace}/{image}/blobs/{digest}": "puller",
    "HEAD /v2/{workspace}/{image}/blobs/{digest}": "puller",
    "GET /v2/{workspace}/{image}/tags/list": "puller",
    "GET /v2/{workspace}/{image}/referrers/{digest}": "puller",
    "GET /v2/token": "shown",
    "POST /v2/token": "shown",
    "POST /v2/{workspace}/{image}/blobs/uploads/": "pusher",
    "GET /v2/{workspace}/{image}/blobs/uploads/{upload}": "pusher",
    "PATCH /v2/{workspace}/{image}/blobs/uploads/{upload}": "pusher",
    "PUT /v2/{workspace}/{image}/blobs/uploads/{upload}": "pusher",
    "DELETE /v2/{workspace}/{image}/blobs/uploads/{upload}": "pusher",
    "PUT /v2/{workspace}/{image}/manifests/{reference}": "pusher",
    "DELETE /v2/{workspace}/{image}/manifests/{reference}": "pusher",
    "DELETE /v2/{workspace}/{image}/blobs/{digest}": "pusher",
}

IN_WORKSPACE: dict[str, Rule] = {
    "GET ": "Reader",
    "GET /members": "Reader",
    "PUT /members/{member}": "Owner",
    "DELETE /members/{member}": "Owner",
    "POST /services": "Owner",
    "DELETE /services/{service}": "Owner",
    "GET /services/{service}/tokens": "Owner",
    "POST /services/{service}/tokens": "Owner",
    "DELETE /services/{service}/tokens/{token}": "Owner",
    "PUT /blobs/{digest}": "Contributor",
    "HEAD /blobs/{digest}": "Contributor",
    "POST /uploads": "Contributor",
    "HEAD /uploads/{digest}": "Contributor",
    "PATCH /uploads/{digest}": "Contributor",
    "DELETE /uploads/{digest}": "Contributor",
    "GET /experiments": "Reader",
    "POST /experiments/{experiment}/runs": "Contributor",
    "GET /runs": "Reader",
    "GET /runs/{run}": "Reader",
    "POST /runs/{run}/parameters": "Contributor",
    "POST /runs/{run}/metrics": "Contributor",
    "POST /runs/{run}/outputs": "Contributor",
    "POST /runs/{run}/finish": "Contributor",
    "GET /models": "Reader",
    "POST /models": "Contributor",
    "GET /models/{model}": "Reader",
    "PATCH /models/{model}": "Contributor",
    "DELETE /models/{model}": "Contributor",
    "GET /models/{model}/lineage": "Reader",
    "GET /models/{model}/baseline": "Reader",
    "GET /models/{model}/files/{path:path}": "Reader",
    "HEAD /models/{model}/files/{path:path}": "Reader",
    "GET /images": "Reader",
    "POST /images": "Contributor",
    "POST /images/builds": "Contributor",
    "GET /image-store": "Reader",
    "PUT /image-store": "Owner",
    "GET /images/{image}": "Reader",
    "PATCH /images/{image}": "Contributor",
    "DELETE /images/{image}": "Contributor",
    "GET /images/{image}/uses": "Reader",
    "GET /images/{image}/packages": "Reader",
    "GET /images/{image}/attached": "Reader",
    "GET /images/{image}/attached/{what}": "Reader",
    "GET /devices": "Reader",
    "POST /devices": "Contributor",
    "POST /device-invitations": "Contributor",
    "GET /device-claims": "Owner",
    "POST /device-claims": "Owner",
    "POST /device-claims/{claim}/revocation": "Owner",
    "POST /device-keys": "Owner",
    "GET /pending-devices": "Owner",
    "POST /pending-devices/{device}/acceptance": "Owner",
    "POST /pending-devices/{device}/rejection": "Owner",
    "GET /devices/{device}": "Reader",
    "PATCH /devices/{device}": "Contributor",
    "POST /devices/{device}/revocation": "Owner",
    "GET /devices/{device}/pulled": "Reader",
    "GET /devices/{device}/document": "Contributor",
    "GET /rollouts": "Reader",
    "POST /rollouts": "Contributor",
    "POST /rollouts/plan": "Contributor",
    "GET /rollouts/{rollout}": "Reader",
    "GET /rollouts/{rollout}/events": "Reader",
    "POST /rollouts/{rollout}/pause": "Contributor",
    "POST /rollouts/{rollout}/resume": "Contributor",
    "POST /rollouts/{rollout}/abort": "Contributor",
    "POST /rollouts/{rollout}/approval": "Owner",
    "POST /telemetry/query": "Reader",
    "GET /telemetry/streams": "Reader",
    "GET /telemetry/store": "Reader",
    "PUT /telemetry/store": "Owner",
    "GET /datastores": "Reader",
    "POST /datastores": "Owner",
    "POST /datastores/{datastore}/default": "Owner",
    "DELETE /datastores/{datastore}": "Owner",
    "GET /datastores/{datastore}/files": "Reader",
    "PUT /datastores/{datastore}/files/{path:path}": "Contributor",
    "GET /datastores/{datastore}/files/{path:path}": "Reader",
    "DELETE /datastores/{datastore}/files/{path:path}": "Contributor",
    "GET /audit": "Owner",
    "GET /audit/verify": "Owner",
    "GET /secrets": "Reader",
    "GET /secrets/{secret}": "Reader",
    "PUT /secrets/{secret}": "Contributor",
    "GET /secrets/{secret}/value": "Contributor",
    "DELETE /secrets/{secret}": "Owner",
    "GET /activities": "Reader",
    "GET /activities/{activity}": "Reader",
    "GET /activities/{activity}/events": "Reader",
    "POST /activities/{activity}/cancel": "Contributor",
    "GET /webhooks": "Owner",
    "POST /webhooks": "Owner",
    "DELETE /webhooks/{webhook}": "Owner",
    "GET /webhooks/{webhook}/deliveries": "Owner",
    "POST /webhooks/{webhook}/test": "Owner",
}


def in_workspace(route: str) -> str:
    """Return the full route of one that `IN_WORKSPACE` names."""
    method, _, path = route.partition(" ")
    return f"{method} {WORKSPACE}{path}"


POLICY: dict[str, Rule] = HUB | {in_workspace(route): rule for route, rule in IN_WORKSPACE.items()}

NOT_AUDITED: dict[str, str] = {
    "POST /v2/token": "gives a token for five minutes, changes nothing",
    "POST /v2/{workspace}/{image}/blobs/uploads/": "bytes that nothing names yet",
    "PATCH /v2/{workspace}/{image}/blobs/uploads/{upload}": "bytes that nothing names yet",
    "PUT /v2/{workspace}/{image}/blobs/uploads/{upload}": "bytes that nothing names yet",
    "DELETE /v2/{workspace}/{image}/blobs/uploads/{upload}": "bytes that nothing names yet",
    in_workspace("POST /telemetry/query"): "reads",
    in_workspace("POST /rollouts/plan"): "reads",
    in_workspace("POST /webhooks/{webhook}/test"): "sends an event, changes nothing",
    in_workspace("PUT /blobs/{digest}"): "bytes that nothing names yet",
    in_workspace("POST /uploads"): "bytes that nothing names yet",
    in_workspace("PATCH /uploads/{digest}"): "bytes that nothing names yet",
    in_workspace("DELETE /uploads/{digest}"): "bytes that nothing names yet",
    in_workspace("PUT /datastores/{datastore}/files/{path:path}"): "data, not the hub's own state",
    in_workspace("DELETE /datastores/{datastore}/files/{path:path}"): "data, not the hub's own state",
    in_workspace("POST /experiments/{experiment}/runs"): "a run's own record says who and when",
    in_workspace("POST /runs/{run}/parameters"): "a run's own record",
    in_workspace("POST /runs/{run}/metrics"): "a run's own record",
    in_workspace("POST /runs/{run}/outputs"): "a run's own record",
    in_workspace("POST /runs/{run}/finish"): "a run's own record",
}
"""Routes that are no GET and leave no entry in the audit log, each with the reason."""
