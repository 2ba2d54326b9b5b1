"""What all tests share: a skip is a failure under CI; how they run side by side."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.hub.databases import Place, Servers, migrated_sqlite
from tests.postgres import running_server, why_not
from tests.side_by_side import Scheduling, long_first

# What is collected stays: looking for garbage in it takes each worker 3 s of a core.
gc.disable()

# Times say nothing on a shared machine.
settings.register_profile("headland", deadline=None)
settings.load_profile("headland")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling:
    """Hand out whole files (`make test` runs several workers)."""
    return Scheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let what takes long begin first."""
    items[:] = [items[place] for place in long_first([item.nodeid for item in items])]


def pytest_collection_finish() -> None:
    """Look for garbage from here on, but not in what is there already."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Turn a skip into a failure under CI, which has all parts that a test may need."""
    report: pytest.TestReport = yield  # type: ignore[assignment]
    if report.skipped and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"under CI this test may not be skipped: {report.longrepr}"
    return report  # type: ignore[return-value]


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """A PostgreSQL server for all tests of the session."""
    if reason := why_not():
        pytest.skip(reason)
    with running_server() as server:
        yield Servers(server)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.system)])
def kind(request: pytest.FixtureRequest) -> str:
    """Which database the test runs on."""
    name: str = request.param
    return name


@pytest.fixture
def empty_place(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    """A database without a schema."""
    yield from _place(kind, tmp_path, request, migrated=False)


@pytest.fixture
def place(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    """A migrated database without rows."""
    yield from _place(kind, tmp_path, request, migrated=True)


def _place(kind: str, folder: Path, request: pytest.FixtureRequest, *, migrated: bool) -> Iterator[Place]:
    if kind == "sqlite":
        place = Place(kind, folder / "hub.db")
        if migrated:
            (folder / "hub.db").write_bytes(migrated_sqlite())
        yield place
        place.close()
        return
    servers: Servers = request.getfixturevalue("servers")
    name = servers.migrated() if migrated else servers.empty()
    place = Place(kind, servers.server.url(name))
    yield place
    place.close()
    servers.server.drop(name)
