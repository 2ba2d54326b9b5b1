"""How much memory a device needs to apply a delta: a child's peak, and a control that a bound is seen."""

import hashlib
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from agent.confinement.run import ChildLimits
from contract.delta.container import MAX_NEW_BYTES, MAX_OLD_BYTES
from tests.deltas.layers import delta_of, onnx_of, rounded, tar_of, tuned, weights

ROOT = Path(__file__).parents[2]
MOST_MB = 100
BOUND = str(ChildLimits().memory_bytes)  # what the agent's child has for it
CHILD = """
import hashlib, resource, sys
from contract.delta.applying import pieces
from contract.delta.container import read_header
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[4]),) * 2)
old = open(sys.argv[2], "rb")
def read(at, size):
    old.seek(at)
    return old.read(size)
extra = bytearray(b"x") * int(sys.argv[3])
seen = hashlib.sha256()
with open(sys.argv[1], "rb") as source:
    for piece in pieces(source, read_header(source), read):
        seen.update(piece)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]
print(seen.hexdigest(), int(peak) // 1024)
"""


def peak_mb(delta: Path, old: Path, extra: int = 0) -> tuple[str, int]:
    """Return the digest of what is made, and the child's peak."""
    command = [sys.executable, "-c", CHILD, str(delta), str(old), str(extra), BOUND]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    digest, peak = done.stdout.split()
    return digest, int(peak)


@pytest.mark.parametrize("what", ["patch", "tensor", "scaled"])
def test_applying_takes_little_memory(what: str, tmp_path: Path) -> None:
    if what == "patch":
        old = random.Random(1).randbytes(MAX_OLD_BYTES)
        # Poor in matches: a payload as large as its window, over the largest prefix.
        # Two of them: what is left of the first counts too.
        new = old[:100_000] + random.Random(2).randbytes(2 * MAX_NEW_BYTES - 200_000) + old[-100_000:]
    else:
        before = weights(1, np.float32, 2_200_000)
        after = rounded(before, tuned(before)) if what == "scaled" else tuned(before)
        old, new = (tar_of({"m.onnx": onnx_of(each)}) for each in (before, after))
    delta, made = delta_of(old, new)
    assert made.kind == what
    (tmp_path / "old").write_bytes(old)
    (tmp_path / "delta").write_bytes(delta)
    digest, peak = peak_mb(tmp_path / "delta", tmp_path / "old")
    assert digest == hashlib.sha256(new).hexdigest()
    assert peak < MOST_MB
    control = peak_mb(tmp_path / "delta", tmp_path / "old", extra=MOST_MB << 20)[1]
    assert control > MOST_MB
