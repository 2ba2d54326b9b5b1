"""The object stores under test, as fixtures; import them into a conftest."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from cloud_hub.blobs.folder import FolderStore
from cloud_hub.blobs.port import ObjectStore
from cloud_hub.blobs.remote import RemoteStore
from tests.conformance import servers
from tests.conformance.servers import Service

AZURE = pytest.param("azure", marks=pytest.mark.system)


@pytest.fixture(scope="session")
def s3_service() -> Iterator[Service]:
    """moto, for the whole session."""
    with servers.s3() as service:
        yield service


@pytest.fixture(scope="session")
def gcs_service(s3_service: Service) -> Service:
    """moto again: GCS's XML API is close to S3's, and no fake of it was found that takes uploads."""
    return Service("gs", s3_service.port, {"GOOGLE_BEARER_TOKEN": "gcs-hidden"})


@pytest.fixture(scope="session")
def azure_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Azurite, for the whole session."""
    with servers.azure(tmp_path_factory.mktemp("azurite")) as service:
        yield service


@pytest.fixture(params=["s3", "gcs", AZURE])
def service(request: pytest.FixtureRequest) -> Service:
    """Each server in turn."""
    found = request.getfixturevalue(f"{request.param}_service")
    assert isinstance(found, Service)
    return found


@pytest.fixture(params=["folder", "memory", "s3", "gcs", AZURE])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """Each adapter in turn, empty."""
    if request.param == "folder":
        return FolderStore(tmp_path / "objects")
    if request.param == "memory":
        return RemoteStore(MemoryStore(), "memory")
    found = request.getfixturevalue(f"{request.param}_service")
    assert isinstance(found, Service)
    return found.open()


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A named pipe: a source that stands still where the test wants it to."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path
