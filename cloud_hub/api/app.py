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
from cloud_hub.api.bounds import BoundedBodies
from cloud_hub.blobs.routes import router as blobs
from cloud_hub.devices.enrolment_routes import router as enrolment
from cloud_hub.devices.routes import router as devices
from cloud_hub.experiments.routes import router as experiments
from cloud_hub.images.routes import router as images
from cloud_hub.models.routes import router as models
from cloud_hub.registry.routes import router as registry
from cloud_hub.rollouts.routes import router as rollouts
from cloud_hub.services import Services
from cloud_hub.telemetry.routes import router as telemetry
from cloud_hub.version import VERSION
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
    devices,
    rollouts,
    telemetry,
    activities,
    enrolment,
    registry,
)


def create_app(services: Services) -> FastAPI:
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
    app.add_middleware(BoundedBodies)
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
