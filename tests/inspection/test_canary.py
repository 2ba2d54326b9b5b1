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
NAIVE = "import sys, onnx; onnx.load(sys.argv[1])"


def opened(source: str, argument: Path, log: Path) -> tuple[str, str]:
    """Run Python under strace; return what it printed and every path that it or a child opened."""
    command = ["strace", "-f", "-qq", "-e", "trace=open,openat,openat2,readlink", "-o", str(log)]
    done = subprocess.run(
        [*command, sys.executable, "-c", source, str(argument)], capture_output=True, text=True, check=False
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
def test_the_judge_sees_a_canary_that_is_opened(tmp_path: Path) -> None:
    """Negative control: a plain loader reads the file that a model names."""
    (tmp_path / "secret-canary.bin").write_bytes(bytes(8))
    (tmp_path / "model.onnx").write_bytes(external("secret-canary.bin"))
    _, calls = opened(NAIVE, tmp_path / "model.onnx", tmp_path / "log")
    assert "secret-canary" in calls
