"""Images as files: other tools read them, and podman runs them."""

import json
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from cloud_hub.sdk import Image
from tests.images.containers import ask, let_pass, until_ready
from tests.images.shop import Shop

BODY = json.dumps({"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]})
pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def plain(shop: Shop) -> Image:
    """The model without a script, in gzip."""
    return shop.workspace.build_image("plain", "double:1")


def _needs(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs root and {' '.join(missing)} (Debian, Ubuntu: apt install {' '.join(programs)})")


def _run(command: Sequence[str | Path]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.soak
def test_umoci_unpacks_an_exported_layout(shop: Shop, plain: Image, tmp_path: Path) -> None:
    _needs("umoci")
    shop.workspace.export_image(f"plain:{plain.version}", tmp_path / "plain.tar")
    layout = tmp_path / "layout"
    layout.mkdir()
    _run(["tar", "-xf", tmp_path / "plain.tar", "-C", layout])
    _run(["umoci", "unpack", "--image", f"{layout}:{plain.version}", tmp_path / "bundle"])
    assert (tmp_path / "bundle/rootfs/var/headland/model/model.onnx").is_file()
    config = json.loads((tmp_path / "bundle/config.json").read_text())
    assert config["process"]["args"] == ["/opt/python/bin/python3", "-m", "modules.serving"]
    assert "ORT_DISABLE_TELEMETRY=1" in config["process"]["env"]
    assert config["process"]["user"]["uid"] == 65532


@pytest.mark.parametrize("source", ["oci-archive", "docker-archive"])
def test_podman_runs_what_was_exported(shop: Shop, plain: Image, source: str, tmp_path: Path) -> None:
    _needs("podman", "runc")
    form = "oci" if source == "oci-archive" else "docker"
    shop.workspace.export_image(f"plain:{plain.version}", tmp_path / "plain.tar", form=form)  # type: ignore[arg-type]
    shared = tmp_path / "shared"
    shared.mkdir()
    os.chown(shared, 65532, 65532)
    let_pass(shared)
    with _podman() as podman:
        image = _run([*podman, "pull", "--quiet", f"{source}:{tmp_path / 'plain.tar'}"]).strip()
        command = [*podman, "run", "--rm", "--name", "hl", "--runtime", "runc"]
        command += ["--network=none", "--read-only", "--volume", f"{shared}:/run/headland"]
        command += ["--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096"]
        command += ["--env", "HEADLAND_LISTEN=unix:/run/headland/score.sock", image]
        log = (tmp_path / "log").open("wb")
        with log, subprocess.Popen(command, stdout=log, stderr=log) as running:
            try:
                until_ready(shared / "score.sock", running, tmp_path / "log")
                status, answer = ask(shared / "score.sock", "POST", "/v2/models/double/infer", BODY)
                assert status == 200, answer
                assert json.loads(answer)["outputs"][0]["data"] == [2.0, 4.0, 6.0]
            finally:
                # Process 1 ends by itself when it is asked to: podman would kill it after 60 s.
                _run([*podman, "stop", "--time", "60", "hl"])
            assert running.wait(30) == 0


@contextmanager
def _podman() -> Iterator[list[str]]:
    """Yield podman over storage of its own, in a folder with a short name: it takes no longer one."""
    folder = Path(tempfile.mkdtemp(prefix="hl-"))
    places = {"--root": "storage", "--runroot": "run", "--tmpdir": "tmp"}
    own = [part for name, place in places.items() for part in (name, str(folder / place))]
    podman = ["podman", *own, "--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--events-backend=none"]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 4096), hard))
    try:
        yield podman
    finally:
        subprocess.run([*podman, "rm", "-f", "--all"], check=False, capture_output=True, timeout=60)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        shutil.rmtree(folder, ignore_errors=True)
