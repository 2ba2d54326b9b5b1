"""`headland model` as a person types it: register a folder, find it, build it, and what cannot be deleted."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from cloud_hub.sdk import baseline
from simulators.demo.stage import Device
from tests.e2e.conftest import World, command
from tests.images.containers import ask
from tests.inspection.samples import external


def answer(*arguments: str) -> Any:
    done = command("headland", *arguments, "--output", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refused(*arguments: str) -> str:
    done = command("headland", *arguments)
    assert done.returncode in {1, 2}, done.stdout
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_folder_from_elsewhere_becomes_an_image_and_stays(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    shutil.copy(next(world.folder.glob("*.onnx")), folder / "net.onnx")
    (folder / "labels.txt").write_text("zero\none\n")
    stated = tmp_path / "baseline.json"
    stated.write_bytes(msgspec.json.encode(baseline(np.arange(640.0).reshape(10, 64))))
    run = world.workspace.experiment("digits").runs()[0].id
    model = answer(
        "model", "register", "elsewhere", str(folder), "--run", run, "--tag", "stage=test", "--tag", "a=b=c",
        "--property", "site=north", "--description", "from elsewhere", "--baseline", str(stated),
    )  # fmt: skip
    assert (model["version"], model["tags"]) == (1, {"stage": "test", "a": "b=c"})
    assert [m["name"] for m in answer("model", "list", "else*", "--tag", "stage=test", "--latest")] == [
        "elsewhere"
    ]
    assert answer("model", "tag", "elsewhere:1", "stage=prod", "--remove", "a")["tags"] == {"stage": "prod"}
    assert len(answer("model", "baseline", "elsewhere")["features"]) == 64
    image = answer("image", "build", "elsewhere", "--model", "elsewhere:1")
    assert image["model"] == "elsewhere:1"
    shown = command("headland", "model", "show", "elsewhere:1").stdout
    for words in ("input image: FLOAT", "file labels.txt: 9 B", "tag stage = prod", "property site = north",
                  f"run {run} of digits", "image elsewhere:1", "from elsewhere"):  # fmt: skip
        assert words in shown, shown
    said = refused("model", "delete", "elsewhere:1")
    assert "[model-in-use]" in said
    assert "images.elsewhere:1: holds this model" in said
    to = Path(answer("model", "download", "elsewhere:1", "--to", str(tmp_path / "to"))["path"])
    assert (to / "labels.txt").read_bytes() == (folder / "labels.txt").read_bytes()
    assert (to / "net.onnx").read_bytes() == (folder / "net.onnx").read_bytes()


def test_a_model_with_its_weights_in_other_files_scores_on_a_device(
    world: World, device: Device, roll_out: Callable[..., None], tmp_path: Path
) -> None:
    folder, name = tmp_path / "apart", f"apart-{device.name}"
    folder.mkdir()
    (folder / "net.onnx").write_bytes(external("w.bin", offset="8"))
    (folder / "w.bin").write_bytes(bytes(8) + np.array([3, 5], np.float32).tobytes())
    assert answer("model", "register", name, str(folder))["framework"] == "onnx"
    assert answer("image", "build", name, "--model", f"{name}:1")["model"] == f"{name}:1"
    roll_out(f"{name}:1")
    body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}
    status, said = ask(device.endpoint(), "POST", f"/v2/models/{name}/infer", json.dumps(body))
    assert status == 200, said
    assert json.loads(said)["outputs"][0]["data"] == [3.0, 10.0]


def test_a_pickle_must_be_allowed_by_name(world: World, tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"weights": [1.0, 2.0]}))
    register = ("model", "register", "pickled", str(path), "--framework", "sklearn")
    said = refused(*register)
    assert "[model-is-pickle]" in said
    assert "--allow-pickle" in said
    assert answer("model", "list", "pickled") == []
    assert answer(*register, "--allow-pickle")["pickled"] is True
    assert "pickled: it runs code when it is loaded" in command("headland", "model", "show", "pickled").stdout


def test_wrong_use_is_said_and_changes_nothing(world: World, tmp_path: Path) -> None:
    before = len(world.workspace.models())
    assert "key=value" in refused("model", "register", "x", str(tmp_path), "--tag", "nothing")
    assert "the folder is empty" in refused("model", "register", "x", str(tmp_path))
    assert "no such file or folder" in refused("model", "register", "x", str(tmp_path / "none"))
    assert "[invalid-request]" in refused("model", "list", "--order", "sideways")
    assert "a version must be said" in refused("model", "delete", "digits")
    assert "[not-found]" in refused("model", "delete", "digits:99")
    (tmp_path / "b.json").write_text("{}")
    (tmp_path / "m.onnx").write_bytes(b"x")
    said = refused("model", "register", "x", str(tmp_path / "m.onnx"), "--baseline", str(tmp_path / "b.json"))
    assert "[baseline-invalid]" in said
    assert len(world.workspace.models()) == before


def test_a_deleted_models_number_is_not_given_again(world: World, tmp_path: Path) -> None:
    (tmp_path / "m.bin").write_bytes(b"anything")
    for version in (1, 2):
        path = str(tmp_path / "m.bin")
        assert answer("model", "register", "gone", path, "--framework", "custom")["version"] == version
        assert answer("model", "delete", f"gone:{version}") == {"deleted": f"gone:{version}"}
    assert answer("model", "list", "gone") == []
