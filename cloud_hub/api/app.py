"""The HTTP application: every domain's routes, problems for errors, and a bound on bodies."""

from fastapi import FastAPI
from fastapi.routing import APIRoute

from cloud_hub.access.member_routes import router as members
from cloud_hub.access.policy import POLICY
from cloud_hub.access.session_routes import router as session
from cloud_hub.access.user_routes import router as users
from cloud_hub.activities.routes import router as activities
from cloud_hub.api import problems
from cloud_hub.api.auth import GuardedRoute
from cloud_hub.api.bodies import BodyLimits, BoundedBodies
from cloud_hub.api.requests import Named
from cloud_hub.audit.routes import of_hub as hub_audit
from cloud_hub.audit.routes import of_workspace as audit
from cloud_hub.blobs.routes import router as blobs
from cloud_hub.cluster.routes import router as cluster
from cloud_hub.datastores.routes import router as datastores
from cloud_hub.devices.claim_routes import claims as device_claims
from cloud_hub.devices.claim_routes import keys as device_keys
from cloud_hub.devices.claim_routes import pending as pending_devices
from cloud_hub.devices.enrolment_routes import router as enrolment
from cloud_hub.devices.list_routes import router as device_lists
from cloud_hub.devices.routes import router as devices
from cloud_hub.experiments.routes import router as experiments
from cloud_hub.image_stores.routes import router as image_stores
from cloud_hub.images.routes import router as images
from cloud_hub.models.routes import router as models
from cloud_hub.registry.push_routes import router as registry_pushes
from cloud_hub.registry.routes import router as registry
from cloud_hub.registry.token_routes import router as registry_tokens
from cloud_hub.rollouts.device_routes import router as device_secrets
from cloud_hub.rollouts.routes import router as rollouts
from cloud_hub.secrets.routes import router as secrets
from cloud_hub.services import Services
from cloud_hub.telemetry.routes import router as telemetry
from cloud_hub.version import VERSION
from cloud_hub.webhooks.routes import router as webhooks
from cloud_hub.workspaces.routes import router as workspaces

ROUTERS = (
    session,
    users,
    workspaces,
    members,
    blobs,
    experiments,
    models,
    images,
    image_stores,
    devices,
    device_lists,
    device_claims,
    pending_devices,
    device_keys,
    rollouts,
    device_secrets,
    telemetry,
    activities,
    datastores,
    secrets,
    audit,
    hub_audit,
    cluster,
    webhooks,
    enrolment,
    registry,
    registry_pushes,
    registry_tokens,
)


def create_app(services: Services, limits: BodyLimits | None = None) -> FastAPI:
    """Return the application over ``services``."""
    app = FastAPI(
        title="Headland hub",
        version=VERSION,
        docs_url="/api/docs",
        openapi_url="/api/openapi.json",
        redoc_url=None,
    )
    app.state.services = services
    problems.install(app)
    app.add_middleware(BoundedBodies, limits=limits)
    app.add_middleware(Named)
    for router in ROUTERS:
        app.router.routes.extend(router.routes)
    require_policy(app)
    return app


def require_policy(app: FastAPI) -> None:
    """Raise `LookupError` for a route that the policy does not name, or that nothing guards."""
    for route in app.routes:
        if not isinstance(route, APIRoute):
            continue  # the API's own description
        names = {f"{method} {route.path}" for method in route.methods or ()}
        if not isinstance(route, GuardedRoute) or names - POLICY.keys():
            raise LookupError(f"access.policy does not say who may {', '.join(sorted(names))}")
