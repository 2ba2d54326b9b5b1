"""Two images of the same model, each built from nothing in a process and an environment of its own."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import onnx
import pytest
from onnx import TensorProto, helper

from cloud_hub.images.build import (
    BuildInputs,
    BuiltImage,
    FolderLayerStore,
    Layer,
    PipWheelSource,
    build_image,
)
from cloud_hub.images.build.bases import native_target
from contract.digests import sha256
from tests.images.shop import shop as shop  # noqa: PLC0414  a fixture of this folder

ROOT = Path(__file__).parents[2]
SURROUNDINGS: tuple[dict[str, Any], ...] = (
    {
        "umask": 0o077,
        "cwd": "/",
        "env": {"TZ": "Asia/Kathmandu", "LC_ALL": "C", "PYTHONHASHSEED": "1", "SOURCE_DATE_EPOCH": "7"},
    },
    {
        "umask": 0o002,
        "cwd": str(ROOT),
        "env": {
            "TZ": "America/St_Johns",
            "LC_ALL": "C.UTF-8",
            "PYTHONHASHSEED": "4242",
            "LANG": "de_DE.UTF-8",
            "YEARS_AHEAD": "5",
        },
    },
)
NOBODY: Final = 65534
# Another user who may read what root's tests made for themselves, and write nothing of it.
AS_NOBODY: Final = (
    *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
)


def as_nobody(owned: Path) -> tuple[str, ...]:
    """Return what starts a program as another user who owns one folder; nothing where we are not root."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return ()
    owned.mkdir(exist_ok=True)
    os.chown(owned, NOBODY, NOBODY)
    return AS_NOBODY


@dataclass(frozen=True)
class Built:
    """An image on disk: the folder of its store, the model in it, and what the build said."""

    root: Path
    model: Path
    wheels: Path
    image: BuiltImage
    left_over: tuple[str, ...]
    in_zstd: BuiltImage | None = None

    def store(self) -> FolderLayerStore:
        return FolderLayerStore(self.root)

    def document(self, digest: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.store().blob(digest).read_bytes())
        return found

    def open_layer(self, layer: Layer) -> tarfile.TarFile:
        return tarfile.open(self.store().blob(layer.digest), "r:gz")

    def copied_store(self, folder: Path) -> FolderLayerStore:
        """Return a store with the same blobs, to change at will."""
        shutil.copytree(self.root, folder, copy_function=os.link)
        return FolderLayerStore(folder)

    def rebuild(
        self, folder: Path, model: Path, *, store: FolderLayerStore | None = None, script: Path | None = None
    ) -> tuple[BuiltImage, FolderLayerStore]:
        """Build again over a copy of the store, and return the store that counted."""
        store = store or self.copied_store(folder / "store")
        image = build_image(
            BuildInputs("pump-wear", 3, model, sha256(model.read_bytes()), script),
            layers=store,
            wheels=PipWheelSource(self.wheels),
            work_dir=folder,
            progress=lambda fraction, message: None,
            cancelled=lambda: False,
        )
        return image, store


@pytest.fixture(scope="session")
def wheels_dir(pytestconfig: pytest.Config) -> Path:
    """The wheels, downloaded once for as long as pytest's cache lives."""
    assert pytestconfig.cache is not None
    folder = Path(pytestconfig.cache.mkdir("headland-wheels"))
    PipWheelSource(folder).wheels(native_target())
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real ONNX model: y = x + x, three numbers a row."""
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    shape: list[str | int | None] = ["n", 3]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "double",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    double = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save_model(double, path)
    return path


@pytest.fixture(scope="session")
def twins(tmp_path_factory: pytest.TempPathFactory, wheels_dir: Path, model: Path) -> tuple[Built, Built]:
    """The same image twice, built at the same time under different surroundings.

    The second by another user, where the machine can do so, in another year; both in zstd too, below
    ``zstd``, without wheels.
    """
    folder = tmp_path_factory.mktemp("images")
    roots = [folder / "one", folder / "a-much-longer-name-for-the-other"]
    as_other = as_nobody(roots[1])
    running = [
        subprocess.Popen(
            [
                *(as_other if number else ()),
                *(sys.executable, "-m", "tests.images.build_once"),
                json.dumps({"root": str(root), "wheels": str(wheels_dir), "model": str(model)}),
                json.dumps(
                    {
                        "root": str(root / "zstd"),
                        "wheels": "",
                        "model": str(model),
                        "compression": "zstd",
                        "bare": True,
                    }
                ),
            ],
            stdout=subprocess.PIPE,
            cwd=around["cwd"],
            umask=around["umask"],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
            | around["env"],
        )
        for number, (root, around) in enumerate(zip(roots, SURROUNDINGS, strict=True))
    ]
    built = []
    for number, (root, process) in enumerate(zip(roots, running, strict=True)):
        out, _ = process.communicate(timeout=150)
        assert process.returncode == 0
        answer = json.loads(out)
        assert (answer["uid"] == NOBODY) == bool(number and as_other)
        assert (answer["year"] > time.localtime().tm_year + 3) == bool(number)
        one, packed = answer["built"]
        assert packed["left_over"] == []
        image = msgspec.convert(one["image"], BuiltImage)
        in_zstd = msgspec.convert(packed["image"], BuiltImage)
        built.append(Built(root, model, wheels_dir, image, tuple(one["left_over"]), in_zstd))
    return built[0], built[1]


@pytest.fixture(scope="session")
def built(twins: tuple[Built, Built]) -> Built:
    return twins[0]


@pytest.fixture(scope="session")
def rootfs(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's layers, unpacked over each other."""
    return unpacked(built, tmp_path_factory.mktemp("rootfs"))


def unpacked(built: Built, folder: Path) -> Path:
    """Unpack an image's layers over each other into an empty folder; return it."""
    for layer in built.image.layers:
        with built.open_layer(layer) as tar:
            tar.extraction_filter = lambda one, _: one  # older Pythons have no other way
            tar.extractall(folder)
    # pytest's folders are for their owner alone; a container's user must be able to pass.
    folder.chmod(0o755)
    return folder
