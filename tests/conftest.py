"""What all tests share: a skip of a system test is a failure under CI."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests import postgresql

# Times say nothing on a shared machine.
settings.register_profile("headland", deadline=None)
settings.load_profile("headland")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Turn the skip of a test marked ``system`` into a failure where CI has the parts it needs."""
    report: pytest.TestReport = yield  # type: ignore[assignment]
    if report.skipped and os.environ.get("CI") == "true" and item.get_closest_marker("system"):
        report.outcome = "failed"
        report.longrepr = f"under CI this test may not be skipped: {report.longrepr}"
    return report  # type: ignore[return-value]


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[postgresql.Server]:
    """A PostgreSQL server for the whole session; skips where none is installed."""
    if postgresql.programs() is None:
        pytest.skip("no PostgreSQL server is installed (Debian: apt install postgresql)")
    with postgresql.server() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.system)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database, once of each engine."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'hub.db'}"
        return
    server: postgresql.Server = request.getfixturevalue("postgresql_server")
    name = server.create()
    yield server.url(name)
    server.drop(name)
