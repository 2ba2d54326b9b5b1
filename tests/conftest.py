"""What all tests share: a skip of a system test is a failure under CI."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

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
