"""A stage takes down what it started, and nothing else of the same process."""

import subprocess
from pathlib import Path

import pytest

from simulators.demo.stage import Stage


def test_a_stage_ends_its_own_children_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADLAND_CONTEXT", "set by the stage, restored after the test")
    with subprocess.Popen(["sleep", "600"]) as other:
        stage = Stage(tmp_path / "stage")
        with subprocess.Popen(["sleep", "600"]) as mine:
            assert stage.close() == [mine.pid]
        assert other.poll() is None
        other.kill()
