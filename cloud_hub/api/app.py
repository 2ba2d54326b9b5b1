"""The HTTP application: every domain's routes, problems for errors, and a bound on bodies."""

from fastapi import FastAPI

from cloud_hub.activities.routes import router as activities
from cloud_hub.api import problems
from cloud_hub.api.bodies import BodyLimits, BoundedBodies
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

API = "/api/v1"


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
    for router in (workspaces, blobs, experiments, models, images, devices, rollouts, telemetry, activities):
        app.include_router(router, prefix=API)
    app.include_router(enrolment)
    app.include_router(registry)
    return app
