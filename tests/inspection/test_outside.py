"""Weights in other files, and files that are links: only plain files of the model's own folder count."""

import os
from pathlib import Path

import pytest

from cloud_hub.errors import ModelRefusedError
from cloud_hub.models.inspection.inspect import inspect
from tests.inspection import samples
from tests.inspection.samples import as_bytes, external, model


def refusal(folder: Path, data: bytes) -> str:
    path = folder / "upload"
    path.write_bytes(data)
    with pytest.raises(ModelRefusedError) as caught:
        inspect(path, where="m", name="model.onnx")
    return caught.value.code


@pytest.mark.parametrize(
    "location",
    ["weights.bin", "../weights.bin", "/etc/hostname", "a/../../x", "", ".", "a\\b", "weights.bin/"],
)
def test_external_data_of_a_single_file_is_refused(location: str, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(8))
    assert refusal(tmp_path, external(location)) == "model-external-data"


@pytest.mark.parametrize("place", ["attribute", "subgraph", "function", "training", "sparse", "unsaid"])
def test_external_data_is_found_wherever_it_stands(place: str, tmp_path: Path) -> None:
    assert refusal(tmp_path, samples.hidden_external(place, "/etc/hostname")) == "model-external-data"


def test_a_folder_may_keep_weights_in_files_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    (folder / "data").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(external("data/w.bin", offset="8", length="8"))
    (folder / "data" / "w.bin").write_bytes(bytes(16))
    (folder / "labels.txt").write_text("cat\ndog\n")
    found = inspect(folder, where="m")
    assert (found.framework, found.main) == ("onnx", "model.onnx")
    assert [(file.path, file.kind) for file in found.files] == [
        ("data/w.bin", "other"), ("labels.txt", "other"), ("model.onnx", "onnx")
    ]  # fmt: skip
    assert found.signature["inputs"][0]["name"] == "x"


@pytest.mark.parametrize(
    ("location", "more"),
    [
        ("../outside.bin", {}),
        ("sub/../w.bin", {}),
        ("./w.bin", {}),
        ("{outside}", {}),
        ("absent.bin", {}),
        ("w.bin", {"offset": "12"}),
        ("w.bin", {"offset": "-8"}),
        ("w.bin", {"length": "4"}),
        ("w.bin", {"length": "0x8"}),
        ("w.bin", {"offset": str(1 << 62)}),
        ("w.bin", {"basepath": "/etc"}),
    ],
)
def test_a_folder_may_not_reach_out(location: str, more: dict[str, str], tmp_path: Path) -> None:
    outside = tmp_path / "outside.bin"
    outside.write_bytes(bytes(16))
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "w.bin").write_bytes(bytes(16))
    (folder / "model.onnx").write_bytes(external(location.format(outside=outside), 2, **more))
    with pytest.raises(ModelRefusedError) as caught:
        inspect(folder, where="m")
    assert caught.value.code == "model-external-data"
    assert caught.value.where == "m/model.onnx"


@pytest.mark.parametrize("kind", ["symbolic", "hard", "folder", "fifo"])
def test_a_folder_with_links_is_refused(kind: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "w.bin").write_bytes(bytes(8))
    folder = tmp_path / "m"
    folder.mkdir()
    place = folder / "w.bin"
    if kind == "symbolic":
        place.symlink_to(outside / "w.bin")
    elif kind == "hard":
        place.hardlink_to(outside / "w.bin")
    elif kind == "folder":
        place.symlink_to(outside)
    else:
        os.mkfifo(place)
    (folder / "model.onnx").write_bytes(external("w.bin"))
    with pytest.raises(ModelRefusedError) as caught:
        inspect(folder, where="m")
    assert caught.value.code == "model-not-plain-files"


def test_a_single_file_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(as_bytes(model()))
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(ModelRefusedError):
        inspect(tmp_path / "link", where="m", name="m.onnx")
