"""Starts a confined child and waits for its answer."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

CHILD: Final = Path(__file__).with_name("child.py")
ROOT: Final = Path(__file__).parents[2]
# Not the agent's own: it may hold what the child need not know, and the loader's variables.
ENVIRONMENT: Final = {"LC_ALL": "C.UTF-8"}
MAX_ANSWER_BYTES: Final = 16 * 1024


@dataclass(frozen=True)
class ChildLimits:
    """Bytes of address space and of a file, seconds of CPU and of the clock, open files."""

    memory_bytes: int = 256 * 1024**2
    file_bytes: int = 8 * 1024**3
    cpu_s: int = 3600
    wall_s: int = 2 * 3600
    open_files: int = 64


class ChildLostError(Exception):
    """The child gave no answer; ``ending`` says why."""

    def __init__(self, words: str, ending: Literal["memory", "time", "failed"]) -> None:
        super().__init__(words)
        self.ending = ending


def run_confined(
    module: str,
    request: dict[str, Any],
    *,
    folders: Sequence[Path] = (),
    files: Sequence[Path] = (),
    limits: ChildLimits | None = None,
) -> Any:  # noqa: ANN401  JSON
    """Return what ``confined(request)`` of ``module`` answers in a child; both are JSON.

    The child writes below ``folders`` and to ``files``, which exist, and nowhere else. It is gone when this
    returns. Raises `ChildLostError`.
    """
    held = limits or ChildLimits()
    asked = {
        "parent": os.getpid(),
        "limits": asdict(held),
        "paths": [str(ROOT), *(path for path in sys.path if path and Path(path).is_absolute())],
        "folders": [str(path.absolute()) for path in folders],
        "files": [str(path.absolute()) for path in files],
        "module": module,
        "request": request,
    }
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", str(CHILD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
        cwd="/",
        start_new_session=True,
    )
    timer = threading.Timer(held.wall_s, child.kill)
    timer.daemon = True
    timer.start()
    try:
        answer = _converse(child, json.dumps(asked).encode() + b"\n")
    finally:
        timer.cancel()
        child.kill()  # at its end already, or not worth waiting for
        with child:
            pass
    return _read(answer, child.returncode)


def _converse(child: "subprocess.Popen[bytes]", request: bytes) -> bytes:
    if child.stdin is None or child.stdout is None:
        raise ChildLostError("it has no pipes", "failed")
    # A child that died at once leaves a pipe without a reader, at the close too.
    with contextlib.suppress(BrokenPipeError):
        child.stdin.write(request)
        child.stdin.flush()
    with contextlib.suppress(BrokenPipeError):
        child.stdin.close()
    answer = child.stdout.read(MAX_ANSWER_BYTES + 1)
    if len(answer) <= MAX_ANSWER_BYTES:
        child.wait()  # it closed its end: it ends
    return answer


def _read(answer: bytes, code: int) -> Any:  # noqa: ANN401  JSON
    if code == -signal.SIGXCPU:
        raise ChildLostError("it took more time than allowed", "time")
    try:
        said = json.loads(answer) if len(answer) <= MAX_ANSWER_BYTES else None
    except ValueError:
        said = None
    if isinstance(said, dict) and "answer" in said:
        return said["answer"]
    if isinstance(said, dict) and said.get("ending") == "memory":
        raise ChildLostError("it took more memory than allowed", "memory")
    words = f"({said.get('what')})" if isinstance(said, dict) else f"it ended with {code}"
    raise ChildLostError(f"it failed {words[:100]}", "failed")
