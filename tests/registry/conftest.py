"""A hub over HTTPS for the registry's tests: one for a module, its workspaces shop and lab."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_hub.api.app import create_app
from cloud_hub.core import Core
from cloud_hub.db.engine import Database
from cloud_hub.init import initialise
from cloud_hub.settings import Settings
from cloud_hub.wiring import build_services
from tests.api.conftest import ADMIN, World, serving
from tests.hub.databases import Place
from tests.registry.stage import Stage
from tests.registry.wire import Wire


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A hub that the tests of a module share."""
    yield from hub_in(tmp_path_factory.mktemp("hub"))


def hub_in(folder: Path) -> Iterator[World]:
    """Run a hub in a folder."""
    settings = Settings(data_dir=folder / "hub")
    admin_token = initialise(settings)
    core = Core.open(settings)
    services = build_services(settings, core, lambda _device, _envelope: None)
    for workspace in ("shop", "lab"):
        services.workspaces.create(workspace, ADMIN)
    app = create_app(services)
    with serving(app, core) as client:
        yield World(app, services, client, admin_token, core)
    services.activities.close()
    core.database.close()


@pytest.fixture(scope="module")
def token(world: World) -> str:
    """The token of somebody who may push into shop and lab."""
    return world.token("carla", {"shop": "Contributor", "lab": "Contributor"})


@pytest.fixture
def wire(world: World, token: str) -> Wire:
    """Requests to the registry, by who may push."""
    return Wire(world.client, token)


@pytest.fixture
def database(place: Place) -> Database:
    """A migrated database of each kind."""
    return place.open()


@pytest.fixture
def stage(database: Database, tmp_path: Path) -> Stage:
    """A registry on a fresh database, of each kind."""
    made = Stage(database, tmp_path)
    made.make_workspaces()
    return made
