"""Weights in other files, and files that are links: only plain files of the model's own folder count."""

import os
from pathlib import Path

import onnx
import pytest
from google.protobuf.message import DecodeError

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


def folder_of(tmp_path: Path, **files: bytes) -> Path:
    """Return a folder with files; ``__`` in a name stands for a full stop."""
    folder = tmp_path / "m"
    folder.mkdir()
    for name, data in files.items():
        (folder / name.replace("__", ".")).write_bytes(data)
    return folder


PLACES = ["attribute", "subgraph", "function", "training"]


@pytest.mark.parametrize("place", [*PLACES, "sparse", "unsaid"])
def test_a_folder_may_not_reach_out_from_wherever_a_tensor_stands(place: str, tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(8))
    folder = folder_of(tmp_path, model__onnx=samples.hidden_external(place, "../w.bin"))
    with pytest.raises(ModelRefusedError) as caught:
        inspect(folder, where="m")
    assert caught.value.code == "model-external-data"


@pytest.mark.parametrize("place", PLACES)
def test_the_same_tensors_within_the_folder_pass(place: str, tmp_path: Path) -> None:
    """Negative control: it is the place of the file that refuses them above."""
    folder = folder_of(tmp_path, model__onnx=samples.hidden_external(place, "w.bin"), w__bin=bytes(8))
    assert inspect(folder, where="m").framework == "onnx"


@pytest.mark.parametrize(
    ("count", "code"), [(1 << 29, "model-external-data"), (1 << 44, "model-too-complex"), (2, None)]
)
def test_weights_elsewhere_are_no_more_than_is_there(count: int, code: str | None, tmp_path: Path) -> None:
    """2 GiB and 64 TiB claimed of a file of 8 bytes, and as a control the 8 bytes that there are."""
    folder = folder_of(tmp_path, model__onnx=samples.external_claiming(count, "w.bin"), w__bin=bytes(8))
    if code is None:
        assert inspect(folder, where="m").framework == "onnx"
        return
    with pytest.raises(ModelRefusedError) as caught:
        inspect(folder, where="m")
    assert caught.value.code == code


LIKE_ONNX = b"\x08\x08\x3a\xff\xff\xff\xff\x0f"
LIKE_SAFETENSORS = b"\x20\x00\x00\x00\x00\x00\x00\x00{" + bytes(7)


@pytest.mark.parametrize("start", [LIKE_ONNX, LIKE_SAFETENSORS])
def test_weights_may_begin_like_another_format(start: bytes, tmp_path: Path) -> None:
    """Exporters write a file for each tensor: of many, one begins like this."""
    data = start.ljust(16, b"\0")
    folder = folder_of(tmp_path, model__onnx=external("onnx_MatMul_1"), onnx_MatMul_1=data)
    found = inspect(folder, where="m")
    assert (found.framework, list(found.signatures)) == ("onnx", ["model.onnx"])
    assert [file.kind for file in found.files] == ["onnx", "other"]


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("stray", samples.claiming(1 << 29), "not-onnx"),
        # A parser skips a group, and a graph that is a number: what follows would be loaded.
        ("stray", as_bytes(model()) + b"\xf3\x07\xf4\x07", "not-onnx"),
        ("stray", as_bytes(model()) + b"\x38\x01", "not-onnx"),
        ("stray", external("/etc/hostname"), "model-external-data"),
        ("other.ONNX", LIKE_ONNX, "not-onnx"),
        ("other.safetensors", LIKE_SAFETENSORS, "model-damaged"),
    ],
)
def test_what_could_be_loaded_is_looked_at_under_every_name(
    name: str, data: bytes, code: str, tmp_path: Path
) -> None:
    folder = folder_of(tmp_path, model__onnx=as_bytes(model()))
    (folder / name).write_bytes(data)
    with pytest.raises(ModelRefusedError) as caught:
        inspect(folder, where="m")
    assert (caught.value.code, caught.value.where) == (code, f"m/{name}")


def test_parsers_do_skip_what_onnx_does_not_have() -> None:
    """Why those are refused under every name: ONNX itself loads them."""
    for more in (b"\xf3\x07\xf4\x07", b"\x38\x01"):
        loaded = onnx.load_model_from_string(as_bytes(model()) + more)
        assert loaded.graph.node[0].op_type == "Mul"
    with pytest.raises(DecodeError):
        onnx.load_model_from_string(LIKE_ONNX)


def test_a_model_that_calls_another_its_weights_does_not_hide_it(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, a__onnx=external("b.onnx"), b__onnx=external("/etc/hostname"))
    with pytest.raises(ModelRefusedError) as caught:
        inspect(folder, where="m")
    assert (caught.value.code, caught.value.where) == ("model-external-data", "m/b.onnx")


def test_the_hubs_own_links_pass_and_no_others(tmp_path: Path) -> None:
    stored = tmp_path / "stored"
    stored.write_bytes(bytes(8))
    folder = folder_of(tmp_path, model__onnx=external("w.bin"))
    (folder / "w.bin").hardlink_to(stored)
    assert inspect(folder, where="m", own_links=True).framework == "onnx"
    with pytest.raises(ModelRefusedError):
        inspect(folder, where="m")
    (folder / "w.bin").unlink()
    (folder / "w.bin").symlink_to(stored)
    with pytest.raises(ModelRefusedError) as caught:
        inspect(folder, where="m", own_links=True)
    assert caught.value.code == "model-not-plain-files"


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
