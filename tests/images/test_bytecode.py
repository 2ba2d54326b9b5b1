"""Bytecode: the same in every process, valid in Python's eyes, and compiled out of harm's way."""

import importlib.util
import marshal
import subprocess
import sys
from pathlib import Path

import pytest

from cloud_hub.images.build import BuildError
from cloud_hub.images.build.bytecode import Compiler

SOURCE = b'''
NAMES = {"alpha", "beta", "gamma", "delta", "epsilon"}
def find(x, *, y="alpha"):
    """Say."""
    return x in {"alpha", "beta", "gamma", "delta", "epsilon", 1, 2.5, None, (1, "z")}
class Thing:
    alpha = beta = "a string with spaces that is not interned"
    def method(self): return lambda: (self, self.alpha, 10**20, -1.5, b"bytes", ...)
'''


def _compile(name: str, source: bytes) -> tuple[bytes | None, str]:
    # Each child has a hash seed of its own: isolated mode takes none from the environment.
    with Compiler(lambda: [sys.executable], cache_tag="test") as compiler:
        return compiler.compile(name, source)


def test_bytecode_is_the_same_in_processes_with_other_hash_seeds() -> None:
    assert len({_compile("/opt/x.py", SOURCE)[0] for _ in range(4)}) == 1
    # The control: such children do put the set in SOURCE in other orders.
    order = [sys.executable, "-I", "-c", 'print(list({"alpha", "beta", "gamma", "delta", "epsilon"}))']
    orders = {subprocess.run(order, check=True, capture_output=True).stdout for _ in range(8)}
    assert len(orders) > 1


def test_bytecode_has_the_path_inside_the_image_and_loads_without_its_source_being_compared() -> None:
    compiled, _ = _compile("/opt/x.py", SOURCE)
    assert compiled is not None
    assert compiled[:4] == importlib.util.MAGIC_NUMBER
    assert compiled[4:8] == b"\x01\0\0\0"
    assert compiled[8:16] == importlib.util.source_hash(SOURCE)
    code = marshal.loads(compiled[16:])
    assert code.co_filename == "/opt/x.py"
    space: dict[str, object] = {}
    exec(code, space)
    assert callable(space["find"])
    assert space["find"]("beta")


def test_source_is_never_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    source = f"open({str(mark)!r}, 'w').close()\n".encode()
    compiled, _ = _compile("/opt/x.py", source)
    assert compiled is not None
    assert not mark.exists()
    exec(marshal.loads(compiled[16:]))
    assert mark.exists()


@pytest.mark.parametrize(
    "source",
    [
        b"def f(:\n",
        b"x = '\xff'\n",
        b"a\0b\n",
        b"(" * 100_000,
        b"-" * 3_000_000 + b"1",
        b"# coding: nothing\n",
    ],
    ids=["syntax", "encoding", "zero byte", "nesting", "depth", "unknown coding"],
)
def test_source_that_is_not_python_gives_no_bytecode_and_the_next_file_compiles(source: bytes) -> None:
    with Compiler(lambda: [sys.executable], cache_tag="test") as compiler:
        try:
            compiled, reason = compiler.compile("/opt/bad.py", source)
        except BuildError:
            pass  # the child died of it, and only the child
        else:
            assert compiled is None
            assert reason
        assert compiler.compile("/opt/good.py", b"x = 1\n")[0] is not None


def test_a_child_that_does_not_answer_is_an_error(tmp_path: Path) -> None:
    mute = tmp_path / "python"
    mute.write_text("#!/bin/sh\nexec cat > /dev/null\n")
    mute.chmod(0o755)
    with (
        Compiler(lambda: [str(mute)], cache_tag="test", timeout_s=0.2) as compiler,
        pytest.raises(BuildError, match="could not compile"),
    ):
        compiler.compile("/opt/x.py", b"x = 1\n")
