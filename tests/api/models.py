"""Models for the tests of their registry over HTTPS."""

from pathlib import Path

import pytest

from tests.hub.test_models import as_bytes, onnx_model

MODELS = "/api/v1/workspaces/shop/models"


@pytest.fixture
def scale(tmp_path: Path) -> Path:
    """A small ONNX file."""
    path = tmp_path / "scale.onnx"
    path.write_bytes(as_bytes(onnx_model()))
    return path


def folder_model(tmp_path: Path) -> Path:
    """Make a folder with a model, labels, a name beyond ASCII and a large file."""
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "m.onnx").write_bytes(as_bytes(onnx_model()))
    (folder / "sub/labels.txt").write_text("cat\ndog\n")
    (folder / "ünïcode.json").write_text("{}")
    (folder / "big.bin").write_bytes(b"0123456789" * 300_000)
    return folder
