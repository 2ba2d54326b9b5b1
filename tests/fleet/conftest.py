"""One real hub with its broker, for simulated devices."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulators.demo.stage import Stage


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """A hub with a workspace."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADLAND_CONTEXT", "set by the stage, restored after the tests")
        stage = Stage(Path(tempfile.mkdtemp(prefix="hl-fleet-")))
        try:
            stage.make_hub()
            stage.headland("workspace", "create", "shop")
            yield stage
        finally:
            left = stage.close()
    assert left == [], "processes were left behind"
