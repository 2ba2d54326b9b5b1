"""Images of models that are folders: every file at its path, and a layer of its own for other files."""

import tarfile
from pathlib import Path

import pytest

from cloud_hub.images.build import (
    BuildError,
    BuildInputs,
    FolderLayerStore,
    InputFile,
    ModelChangedError,
    PipWheelSource,
    build_image,
)
from contract.digests import sha256
from tests.images.conftest import Built

FOLDER = sha256(b"the folder's listing")


def inputs(folder: Path, digest: str = FOLDER) -> BuildInputs:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    found = tuple(
        InputFile(path.relative_to(folder).as_posix(), path, sha256(path.read_bytes())) for path in files
    )
    return BuildInputs("pump-wear", 4, folder, digest, model_files=found)


def build(
    built: Built, store: FolderLayerStore, work_dir: Path, asked: BuildInputs
) -> tuple[int, dict[str, bytes]]:
    """Build; return how many layers were new, and the files of the model's layer."""
    image = build_image(
        asked,
        layers=store,
        wheels=PipWheelSource(built.wheels),
        work_dir=work_dir,
        progress=lambda fraction, message: None,
        cancelled=lambda: False,
    )
    (layer,) = [layer for layer in image.layers if layer.title == "model"]
    files = {}
    with tarfile.open(store.blob(layer.digest), "r:gz") as tar:
        for member in tar.getmembers():
            content = tar.extractfile(member) if member.isfile() else None
            if content is not None:
                files[member.name] = content.read()
    return image.new_layers, files


@pytest.fixture
def folder(tmp_path: Path, model: Path) -> Path:
    folder = tmp_path / "folder"
    (folder / "weights").mkdir(parents=True)
    (folder / "net.onnx").write_bytes(model.read_bytes())
    (folder / "weights/net.data").write_bytes(b"external data" * 1000)
    return folder


def test_every_file_is_at_its_path_and_a_new_model_is_one_new_layer(
    built: Built, folder: Path, tmp_path: Path
) -> None:
    store, work_dir = built.copied_store(tmp_path / "store"), tmp_path / "work"
    work_dir.mkdir()
    new_layers, files = build(built, store, work_dir, inputs(folder))
    assert new_layers == 1
    assert files == {
        f"var/headland/model/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert build(built, store, work_dir, inputs(folder))[0] == 0


def test_a_file_that_changed_since_is_refused(built: Built, folder: Path, tmp_path: Path) -> None:
    asked = inputs(folder)
    (folder / "weights/net.data").write_bytes(b"other bytes")
    with pytest.raises(ModelChangedError):
        build(built, built.copied_store(tmp_path / "store"), tmp_path, asked)


def test_a_path_that_leads_out_is_refused(built: Built, folder: Path, tmp_path: Path) -> None:
    one = inputs(folder).model_files[0]
    asked = BuildInputs(
        "pump-wear", 4, folder, FOLDER, model_files=(InputFile("../../etc/x", one.file, one.digest),)
    )
    with pytest.raises(BuildError, match="not plain"):
        build(built, built.copied_store(tmp_path / "store"), tmp_path, asked)
