"""Images of models that are folders: every file at its path, and a layer of its own for other files."""

import json
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from cloud_hub.images.build import (
    BuildError,
    BuildInputs,
    BuiltImage,
    FolderLayerStore,
    InputFile,
    ModelChangedError,
    PipWheelSource,
    build_image,
)
from contract.digests import sha256
from tests.images.conftest import Built, unpacked
from tests.images.containers import ask, container, let_pass, until_ready
from tests.inspection.samples import external

FOLDER = sha256(b"the folder's listing")


def inputs(folder: Path, digest: str = FOLDER) -> BuildInputs:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    found = tuple(
        InputFile(path.relative_to(folder).as_posix(), path, sha256(path.read_bytes())) for path in files
    )
    return BuildInputs("pump-wear", 4, folder, digest, model_files=found)


def build(
    built: Built, store: FolderLayerStore, work_dir: Path, asked: BuildInputs
) -> tuple[BuiltImage, dict[str, bytes]]:
    """Build; return the image and the files of the model's layer."""
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
    return image, files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model, y = x * (3, 5), whose weights are in another file, as exporters write large ones."""
    folder = tmp_path / "folder"
    (folder / "weights").mkdir(parents=True)
    (folder / "net.onnx").write_bytes(external("weights/net.data", offset="4096"))
    (folder / "weights/net.data").write_bytes(bytes(4096) + np.array([3, 5], np.float32).tobytes())
    return folder


def test_every_file_is_at_its_path_and_a_new_model_is_one_new_layer(
    built: Built, folder: Path, tmp_path: Path
) -> None:
    store, work_dir = built.copied_store(tmp_path / "store"), tmp_path / "work"
    work_dir.mkdir()
    image, files = build(built, store, work_dir, inputs(folder))
    assert image.new_layers == 1
    assert files == {
        f"var/headland/model/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert build(built, store, work_dir, inputs(folder))[0].new_layers == 0


@pytest.mark.system
def test_a_folder_model_with_its_weights_in_other_files_scores_in_a_container(
    built: Built, folder: Path, tmp_path: Path
) -> None:
    if shutil.which("runc") is None or os.geteuid() != 0:
        pytest.skip("needs runc and root")
    work_dir, where = tmp_path / "work", tmp_path / "container"
    work_dir.mkdir()
    where.mkdir()
    store = built.copied_store(tmp_path / "store")
    image, _ = build(built, store, work_dir, inputs(folder))
    its = Built(tmp_path / "store", folder, built.wheels, image, ())
    rootfs = tmp_path / "rootfs"
    rootfs.mkdir()
    unpacked(its, rootfs)
    let_pass(rootfs)
    with container(its, rootfs, where, f"headland-folder-{os.getpid()}") as (shared, running):
        until_ready(shared / "score.sock", running, where / "log")
        body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}
        status, answer = ask(shared / "score.sock", "POST", "/v2/models/pump-wear/infer", json.dumps(body))
        assert status == 200, answer
        assert json.loads(answer)["outputs"][0]["data"] == [3.0, 10.0]


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
