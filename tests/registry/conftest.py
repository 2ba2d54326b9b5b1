"""A hub over HTTPS for the registry's tests: one for a module, its workspaces shop and lab."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_hub.db.engine import Database
from cloud_hub.settings import Settings
from tests.api.conftest import World, hub_of
from tests.hub.databases import Place
from tests.registry.stage import Stage
from tests.registry.wire import Wire


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A hub that the tests of a module share."""
    with hub_of(Settings(data_dir=tmp_path_factory.mktemp("hub") / "hub")) as world:
        yield world


@pytest.fixture(scope="module")
def token(world: World) -> str:
    """The token of somebody who may push into shop and lab."""
    return world.token("carla", {"shop": "Contributor", "lab": "Contributor"})


@pytest.fixture(scope="module")
def host(world: World) -> str:
    """The hub's name as tools write it."""
    return f"localhost:{world.client.base_url.port}"


@pytest.fixture(scope="module")
def ca(world: World) -> Path:
    """The certificate of the authority that tools are to believe in."""
    return world.core.certificate.parent / "ca.pem"


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
