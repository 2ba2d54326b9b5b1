"""What is uploaded as a model is looked at, whatever it is said to be: over HTTPS, the SDK as the client."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cloud_hub.blobs.port import LocalStore
from cloud_hub.blobs.service import key_of
from cloud_hub.sdk import HubRefusedError, SdkError, Workspace
from cloud_hub.settings import Settings
from contract.digests import sha256
from tests.api.conftest import World, bearer
from tests.api.models import MODELS
from tests.inspection import samples
from tests.inspection.samples import CANARY, PICKLES, as_bytes, external, external_claiming, model

WEIGHTS = np.array([3.0, 5.0], np.float32).tobytes()


@pytest.fixture
def shop(world: World, token: str) -> Iterator[Workspace]:
    CANARY.unlink(missing_ok=True)
    with world.sdk(token) as hub:
        yield hub.workspace()
    assert not CANARY.exists(), "a pickle was loaded"


def folder_of(tmp_path: Path, files: dict[str, bytes]) -> Path:
    folder = tmp_path / "model"
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_an_onnx_model_with_its_weights_in_other_files_is_kept_whole(shop: Workspace, tmp_path: Path) -> None:
    files = {
        "net.onnx": external("data/w.bin", offset="8"),
        "data/w.bin": bytes(8) + WEIGHTS,
        "labels.txt": b"cat\ndog\n",
    }
    made = shop.register_model("net", folder_of(tmp_path, files))
    assert (made.framework, made.folder, made.pickled) == ("onnx", True, False)
    assert made.signature["inputs"] == [{"name": "x", "type": "FLOAT", "shape": ["n", 2]}]
    back = shop.download_model("net", tmp_path / "to")
    assert {file.path: (back / file.path).read_bytes() for file in made.files} == files
    assert shop.start_build("net", "net:1").kind == "image-build"


ONE_FILE: dict[str, tuple[str, bytes]] = {
    "pickle": ("model-is-pickle", PICKLES["protocol 4"]),
    "old pickle": ("model-is-pickle", PICKLES["protocol 0"]),
    "compressed pickle": ("model-is-pickle", PICKLES["joblib, compressed"]),
    "npz of objects": ("model-is-pickle", PICKLES["npz of objects"]),
    "zip in npz": (
        "model-is-archive",
        samples.zipped(a__npy=samples.npy(objects=False), b__npy=samples.zipped(c=b"")),
    ),
    "weights elsewhere": ("model-external-data", external("w.bin")),
    "weights above": ("model-external-data", external("../w.bin")),
    "hidden weights": ("model-external-data", samples.hidden_external("subgraph", "/etc/hostname")),
    "tensor of 2 GiB": ("not-onnx", samples.claiming(1 << 29)),
}


@pytest.mark.parametrize("framework", [None, "onnx", "custom"])
def test_a_hostile_file_is_refused_whatever_it_is_said_to_be(
    shop: Workspace, tmp_path: Path, framework: str | None
) -> None:
    path = tmp_path / "model.onnx"
    for name, (code, data) in ONE_FILE.items():
        path.write_bytes(data)
        with pytest.raises(HubRefusedError) as caught:
            shop.register_model("bad", path, framework=framework)
        assert (caught.value.code, caught.value.where) == (code, "model.onnx"), name
        assert caught.value.fix
    assert shop.models() == []


IN_FOLDER: dict[str, tuple[str, dict[str, bytes]]] = {
    "above": ("model-external-data", {"net.onnx": external("../w.bin")}),
    "absolute": ("model-external-data", {"net.onnx": external("/etc/hostname")}),
    "roundabout": ("model-external-data", {"net.onnx": external("data/../w.bin"), "data/x": b"x"}),
    "missing": ("model-external-data", {"net.onnx": external("v.bin")}),
    "offset beyond": ("model-external-data", {"net.onnx": external("w.bin", offset="4")}),
    "length beyond": ("model-external-data", {"net.onnx": external_claiming(1 << 29, "w.bin")}),
    "length of another": ("model-external-data", {"net.onnx": external("w.bin", length="4")}),
    "second model": (
        "model-external-data",
        {"net.onnx": as_bytes(model()), "other": external("/etc/hostname")},
    ),
    "pickle beside": ("model-is-pickle", {"net.onnx": as_bytes(model()), "scaler": PICKLES["protocol 4"]}),
    "archive beside": ("model-is-archive", {"net.onnx": as_bytes(model()), "a": samples.zipped(b=b"c")}),
}


@pytest.mark.parametrize("framework", [None, "custom"])
def test_a_hostile_folder_is_refused_whatever_it_is_said_to_be(
    shop: Workspace, tmp_path: Path, framework: str | None
) -> None:
    for number, (name, (code, files)) in enumerate(IN_FOLDER.items()):
        folder = folder_of(tmp_path / str(number), {"w.bin": WEIGHTS, **files})
        (folder.parent / "w.bin").write_bytes(WEIGHTS)  # what they reach for is there
        with pytest.raises(HubRefusedError) as caught:
            shop.register_model("bad", folder, framework=framework)
        assert caught.value.code == code, name
        assert (caught.value.where or "").startswith("model/"), name
        assert caught.value.fix
    assert shop.models() == []


def test_bytes_in_the_hubs_store_are_not_reached(
    world: World, settings: Settings, shop: Workspace, token: str
) -> None:
    """The files of a model lie in a folder of the hub; where its store is seen from there, is outside."""

    def put(data: bytes) -> str:
        path = f"/api/v1/workspaces/shop/blobs/{sha256(data)}"
        assert world.client.put(path, content=data, headers=bearer(token)).is_success
        return sha256(data)

    store = world.core.store
    assert isinstance(store, LocalStore)
    weights = store.path(key_of(put(WEIGHTS)))
    assert weights.read_bytes() == WEIGHTS
    other = put(b"another file")
    for location in (str(weights), os.path.relpath(weights, settings.data_dir / "work" / "folder")):
        files = {"net.onnx": put(external(location)), "other.bin": other}
        body = {"name": "bad", "files": [{"path": path, "digest": one} for path, one in files.items()]}
        answer = world.client.post(MODELS, json=body, headers=bearer(token))
        assert (answer.status_code, answer.json()["code"]) == (422, "model-external-data")
    assert shop.models() == []


def test_links_never_go_up(shop: Workspace, tmp_path: Path) -> None:
    """A symbolic link that leads out is refused before anything is sent; of a hard link the bytes go up."""
    (tmp_path / "w.bin").write_bytes(WEIGHTS)
    folder = folder_of(tmp_path, {"net.onnx": external("w.bin")})
    (folder / "w.bin").symlink_to(tmp_path / "w.bin")
    with pytest.raises(SdkError, match="no file of this folder"):
        shop.register_model("net", folder)
    assert shop.models() == []
    (folder / "w.bin").unlink()
    os.link(tmp_path / "w.bin", folder / "w.bin")
    files = shop.register_model("net", folder).files
    assert {file.path: file.digest for file in files}["w.bin"] == sha256(WEIGHTS)


def test_pickles_are_kept_only_where_they_are_allowed_and_are_marked(shop: Workspace, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {"net.onnx": as_bytes(model()), "scaler.pkl": PICKLES["protocol 4"]})
    for framework in (None, "onnx", "custom"):
        with pytest.raises(HubRefusedError) as caught:
            shop.register_model("both", folder, framework=framework)
        assert (caught.value.code, caught.value.where) == ("model-is-pickle", "model/scaler.pkl")
        assert "--allow-pickle" in caught.value.fix
    made = shop.register_model("both", folder, allow_pickle=True)
    assert (made.framework, made.pickled, made.signature["opset"]) == ("onnx", True, 17)
    assert shop.model("both:1").pickled
    (folder / "scaler.pkl").unlink()
    assert not shop.register_model("both", folder, allow_pickle=True).pickled, "allowed is not said to be"


def test_a_pickle_that_is_allowed_is_still_no_onnx(shop: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(PICKLES["protocol 4"])
    with pytest.raises(HubRefusedError) as caught:
        shop.register_model("bad", path, allow_pickle=True)
    assert caught.value.code == "not-onnx"


LIKE_ONNX = b"\x08\x08\x3a\xff\xff\xff\xff\x0f"


def test_a_kind_that_nobody_knows_is_kept_under_the_name_that_it_is_given(
    shop: Workspace, tmp_path: Path
) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(b"weights of our own")
    made = shop.register_model("own", path, framework="house")
    for data in (LIKE_ONNX, external("w.bin")):
        path.write_bytes(data)
        with pytest.raises(HubRefusedError) as caught:
            shop.register_model("onnx", path)
        assert caught.value.code == ("not-onnx" if data == LIKE_ONNX else "model-external-data")
    path.write_bytes(LIKE_ONNX)
    assert shop.register_model("own", path, framework="house").version == 2
    assert (made.framework, made.signature, made.pickled) == ("house", {}, False)
