"""`headland image`: what the commands of the image registry print, over a real hub."""

import json
from pathlib import Path

import pytest

from cloud_hub.sdk import HubRefusedError
from tests.api.conftest import Command, World
from tests.api.images import SBOM, SPDX, attach, of_platforms, push, roll_out
from tests.hub.test_models import as_bytes, onnx_model


def test_an_image_from_its_push_to_its_end(world: World, headland: Command, tmp_path: Path) -> None:
    model = tmp_path / "scale.onnx"
    model.write_bytes(as_bytes(onnx_model()))
    headland("model", "register", "scale", str(model))
    pushed = of_platforms(b"shared layer of many bytes")
    push(world.services, "shop/digits", *pushed, tags=("edge",))
    attach(world.services, "shop/digits", pushed[1], SBOM, SPDX)
    attach(world.services, "shop/digits", pushed[-1], b"Done\n", "application/vnd.headland.build-log.v1")
    said = headland("image", "register", "digits", "--from", "edge", "--model", "scale:1", "--tag", "line=7")
    assert said.startswith("digits:1 registered, ")

    shown = headland("image", "show", "digits")
    for words in (
        "digits:1  pushed", "model scale:1", "tag line = 7", "linux/amd64: ", "linux/arm64: ", "######",
        "2 packages: numpy==2.1.0, pillow==11.0.0", "attached sbom of linux/arm64", "attached log: ",
    ):  # fmt: skip
        assert words in shown, words
    assert headland("image", "show", "digits:1", "--sbom") == SBOM.decode()
    assert headland("image", "show", "digits:1", "--log") == "Done\n"
    assert "at a time" in headland("image", "show", "digits", "--sbom", "--lock", code=2)

    headland("image", "tag", "digits:1", "stage=prod", "--remove", "line", "--description", "good")
    found = json.loads(headland("image", "list", "dig*", "--tag", "stage=prod", "--latest", "-o", "json"))
    assert [(one["version"], one["tags"], one["description"]) for one in found] == [
        (1, {"stage": "prod"}, "good")
    ]
    table = headland("image", "list", "--package", "numpy", "--platform", "linux/arm64")
    assert "digits:1" in table
    assert "digits:1" not in headland("image", "list", "--package", "torch")

    with world.sdk() as hub:
        hub.workspace("shop").invite_device("cam-1")
    roll_out(world.services, "line", "digits:1", "cam-1")
    assert "used on device cam-1 as scorer: rollout line:1" in headland("image", "show", "digits")
    with pytest.raises(HubRefusedError, match="rollout line:1 on device cam-1"):
        headland("image", "delete", "digits:1")
    headland("image", "register", "digits", "--from", "edge")
    roll_out(world.services, "line", "digits:2", "cam-1")
    assert headland("image", "delete", "digits:1") == "digits:1 deleted\n"
    assert json.loads(headland("image", "show", "digits", "--output", "json"))["models"] == []
