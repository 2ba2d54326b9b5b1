"""What a model names outside of itself is never opened, as the kernel sees it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.inspection.samples import external

INSPECT = """
import sys
from pathlib import Path
from cloud_hub.errors import ModelRefusedError
from cloud_hub.models.inspection.inspect import inspect
try:
    inspect(Path(sys.argv[1]), where="m")
except ModelRefusedError as error:
    print(error.code)
"""
# As the registry does it: the hub's own links to its store, with another model's bytes beside them.
REGISTER = """
import sys
from pathlib import Path
from cloud_hub.errors import ModelRefusedError
from cloud_hub.models.describe import describe
try:
    folder = Path(sys.argv[1])
    describe(folder, sorted(path.name for path in folder.iterdir()), sys.argv[2] or None)
except ModelRefusedError as error:
    print(error.code)
"""
NAIVE = "import sys, onnx; onnx.load(sys.argv[1])"


def opened(source: str, argument: Path, log: Path, *more: str) -> tuple[str, str]:
    """Run Python under strace; return what it printed and every path that it or a child opened."""
    command = ["strace", "-f", "-qq", "-e", "trace=open,openat,openat2,readlink", "-o", str(log)]
    done = subprocess.run(
        [*command, sys.executable, "-c", source, str(argument), *more],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip(), log.read_text()


@pytest.mark.system
@pytest.mark.parametrize("kind", ["file", "folder", "symbolic", "hard"])
def test_a_canary_is_never_opened(kind: str, tmp_path: Path) -> None:
    canary = tmp_path / "secret-canary.bin"
    canary.write_bytes(bytes(8))
    folder = tmp_path / "m"
    folder.mkdir()
    target = folder / "model.onnx"
    target.write_bytes(external("../secret-canary.bin"))
    if kind == "symbolic":
        (folder / "secret-canary.bin").symlink_to(canary)
        target.write_bytes(external("secret-canary.bin"))
    elif kind == "hard":
        (folder / "secret-canary.bin").hardlink_to(canary)
        target.write_bytes(external("secret-canary.bin"))
    told, calls = opened(INSPECT, target if kind == "file" else folder, tmp_path / "log")
    assert told in {"model-external-data", "model-not-plain-files"}
    assert "model.onnx" in calls or told == "model-not-plain-files"
    assert "secret-canary" not in calls


@pytest.mark.system
@pytest.mark.parametrize("framework", ["", "custom"])
@pytest.mark.parametrize("location", ["../secret-canary.bin", "{folder}/secret-canary.bin"])
def test_registering_opens_no_canary_whatever_the_model_is_said_to_be(
    framework: str, location: str, tmp_path: Path
) -> None:
    store, folder = tmp_path / "store", tmp_path / "work"
    store.mkdir()
    folder.mkdir()
    (tmp_path / "secret-canary.bin").write_bytes(bytes(8))
    for name, data in {
        "model.onnx": external(location.format(folder=tmp_path)),
        "w.bin": bytes(8),
    }.items():
        (store / name).write_bytes(data)
        (folder / name).hardlink_to(store / name)
    told, calls = opened(REGISTER, folder, tmp_path / "log", framework)
    assert told == "model-external-data"
    assert "model.onnx" in calls
    assert "secret-canary" not in calls


@pytest.mark.system
def test_the_judge_sees_a_canary_that_is_opened(tmp_path: Path) -> None:
    """Negative control: a plain loader reads the file that a model names."""
    (tmp_path / "secret-canary.bin").write_bytes(bytes(8))
    (tmp_path / "model.onnx").write_bytes(external("secret-canary.bin"))
    _, calls = opened(NAIVE, tmp_path / "model.onnx", tmp_path / "log")
    assert "secret-canary" in calls
