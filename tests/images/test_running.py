"""Images run: nothing of this machine is needed but its kernel."""

import json
import os
import platform
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from cloud_hub.images.bases.archive_sources import open_archive
from cloud_hub.images.bases.base import foreign_base
from cloud_hub.images.bases.for_builds import as_build_base
from cloud_hub.images.build import BuildInputs, PipWheelSource, build_image
from cloud_hub.images.build.bases import Asked, Base
from cloud_hub.images.build.options import BuildOptions
from contract.digests import sha256
from tests.bases.memory import MemoryFindings
from tests.bases.pictures import picture_of_layer, tar_of
from tests.images.conftest import Built, unpacked
from tests.images.containers import INFER, ask, container, let_pass, until_ready

LOOK = """
import json, sys, os
import ctypes, decimal, ssl, sqlite3, sysconfig, lzma, bz2, zlib, hashlib, socket, uuid, zoneinfo
import httptools, msgspec, numpy, onnxruntime, uvloop
import contract.messages, modules.serving
assert sysconfig.get_config_var("EXT_SUFFIX") and hashlib.sha256(b"") and ssl.create_default_context()
assert numpy.linalg.inv(numpy.eye(3)).sum() == 3.0
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
answer = session.run(None, {"x": numpy.ones((2, 3), "float32")})[0].tolist()
with open("/proc/self/maps") as maps:
    mapped = sorted({line.split(maxsplit=5)[5].strip() for line in maps if "/" in line})
compiled = [m.__cached__ for m in list(sys.modules.values()) if getattr(m, "__cached__", None)]
print(json.dumps({
    "answer": answer, "version": sys.version, "mapped": mapped, "prefix": sys.prefix, "path": sys.path,
    "uncompiled": [c for c in compiled if not os.path.exists(c)],
}))
"""


def _loader(rootfs: Path) -> Path:
    found = [*rootfs.glob("lib*/ld-linux*.so.*"), *rootfs.glob("lib*/ld-musl*.so.*")]
    assert len(found) == 1
    return found[0]


def _look(built: Built, rootfs: Path, *loader_options: str) -> dict[str, Any]:
    """Start the image's Python through the image's loader, and return what it saw."""
    configured = dict(
        row.split("=", 1) for row in built.document(built.image.manifests[0].config_digest)["config"]["Env"]
    )
    moved = {
        name: value.replace("/opt/", f"{rootfs}/opt/")
        for name, value in configured.items()
        if name != "LD_LIBRARY_PATH"  # an option of the loader here
    }
    program = [str(rootfs / "opt/python/bin/python3"), "-c", LOOK]
    done = subprocess.run(
        [str(_loader(rootfs)), *loader_options, *program, str(rootfs / "var/headland/model/model.onnx")],
        env=moved,
        cwd="/",
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def _from_outside(said: dict[str, Any], rootfs: Path) -> list[str]:
    return [path for path in said["mapped"] if ".so" in path and not path.startswith(f"{rootfs}/")]


def test_it_runs_through_its_own_loader_with_no_library_from_outside(built: Built, rootfs: Path) -> None:
    said = _look(built, rootfs, "--library-path", f"{rootfs}/opt/python/lib")
    assert said["answer"] == [[2.0] * 3] * 2
    assert _from_outside(said, rootfs) == []
    assert any("libstdc++" in path for path in said["mapped"])
    assert not any("/.cache/" in path for path in said["mapped"])  # no telemetry store of onnxruntime
    assert said["version"] == sys.version
    assert said["prefix"] == f"{rootfs}/opt/python"
    assert [path for path in said["path"] if path and not path.startswith(f"{rootfs}/")] == []
    assert said["uncompiled"] == []


def test_a_library_from_outside_would_be_seen(built: Built, rootfs: Path, tmp_path: Path) -> None:
    moved = tmp_path / "libstdc++.so.6"
    shutil.copy(rootfs / "opt/python/lib/libstdc++.so.6", moved)
    said = _look(built, rootfs, "--library-path", f"{tmp_path}:{rootfs}/opt/python/lib")
    assert _from_outside(said, rootfs) == [str(moved)]


@pytest.mark.system
def test_it_scores_in_a_container_without_a_network(built: Built, rootfs: Path, tmp_path: Path) -> None:
    if shutil.which("runc") is None or os.geteuid() != 0:
        pytest.skip("needs runc and root")
    let_pass(rootfs)
    with container(built, rootfs, tmp_path, f"headland-test-{os.getpid()}") as (shared, running):
        until_ready(shared / "score.sock", running, tmp_path / "log")
        status, answer = ask(shared / "score.sock", "POST", "/v2/models/pump-wear/infer", INFER)
        assert status == 200, answer
        assert json.loads(answer)["outputs"][0]["data"] == [2.0, 4.0, 6.0]


@pytest.mark.system
def test_an_image_over_a_base_from_elsewhere_scores(built: Built, tmp_path: Path) -> None:
    """A layout with a Python, an environment that would lead it astray, and a start of its own."""
    if os.geteuid() != 0 or shutil.which("runc") is None:
        pytest.skip("needs root and runc")
    runtime = built.image.manifests[0].layers[0]
    run = {
        "Env": [
            "PATH=/opt/python/bin",
            "LD_LIBRARY_PATH=/opt/python/lib",
            "PYTHONHOME=/nowhere",
            "PYTHONPATH=/no",
        ],
        "Entrypoint": ["/bin/false"],
        "User": "0",
        "WorkingDir": "/nowhere",
    }
    made = picture_of_layer(built.store().blob(runtime.digest).read_bytes(), runtime.diff_id, run)
    source = open_archive(tar_of(made.write(tmp_path / "layout")), "blob:sha256:x", tmp_path / "files")
    store = built.copied_store(tmp_path / "store")

    class Layers:
        def exists(self, digest: str) -> bool:
            return store.blob(digest).exists()

        def save_file(self, digest: str, path: Path) -> None:
            shutil.copyfile(path, store.blob(digest))

    class Bases:
        def base(self, asked: Asked, closing: ExitStack) -> Base:
            found = foreign_base(
                source, asked.platform, blobs=Layers(), findings=MemoryFindings(), work_dir=asked.work_dir,
                cancelled=asked.cancelled,
            )  # fmt: skip
            assert found.python.full_version == platform.python_version()
            return as_build_base(found, closing)

    image = build_image(
        BuildInputs("pump-wear", 3, built.model, sha256(built.model.read_bytes())),
        layers=store,
        wheels=PipWheelSource(built.wheels),
        work_dir=tmp_path,
        progress=lambda fraction, message: None,
        cancelled=lambda: False,
        options=BuildOptions("blob:sha256:" + "0" * 64),
        bases=Bases(),
    )
    assert image.manifests[0].layers[0].digest == made.layers[0], "a base's layers are taken as they are"
    assert image.new_layers == 0, "the rest is what it is over any other base with this Python"
    over = Built(tmp_path / "store", built.model, built.wheels, image, ())
    rootfs = unpacked(over, tmp_path / "rootfs")
    let_pass(rootfs)
    with container(over, rootfs, tmp_path, "headland-foreign-base") as (shared, running):
        until_ready(shared / "score.sock", running, tmp_path / "log")
        status, body = ask(shared / "score.sock", "POST", "/v2/models/pump-wear/infer", INFER)
    assert (status, json.loads(body)["outputs"][0]["data"]) == (200, [2.0, 4.0, 6.0])
