"""Starts a confined child and waits for its answer."""

import contextlib
import dataclasses
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from cloud_hub.confinement.errors import ChildLostError
from cloud_hub.confinement.limits import ChildLimits

CHILD: Final = Path(__file__).with_name("child.py")
ROOT: Final = Path(__file__).parents[2]
# No hub's environment: it may hold secrets, and the loader's variables. One thread for OpenBLAS:
# the child may not start others.
ENVIRONMENT: Final = {"LC_ALL": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1"}
CHUNK_BYTES = 64 * 1024
LOOK_S: Final = 0.25


def run_confined(
    module: str,
    request: dict[str, Any],
    limits: ChildLimits,
    *,
    cancelled: Callable[[], bool] = lambda: False,
) -> Any:  # noqa: ANN401  JSON
    """Return what ``confined(request)`` of ``module`` answers in a child; both are JSON.

    Blocks, so call it in a thread; ``cancelled`` is asked a few times a second. Raises `ChildLostError`;
    the child is gone in every case, and what it started with it.
    """
    asked = {
        "limits": dataclasses.asdict(limits),
        "paths": [str(ROOT), *(path for path in sys.path if path and Path(path).is_absolute())],
        "module": module,
        "request": request,
    }
    deadline = time.monotonic() + limits.wall_s
    with _child() as child:
        answer = _converse(
            child, json.dumps(asked).encode() + b"\n", limits.answer_bytes, deadline, cancelled
        )
        if answer is None:
            raise ChildLostError("it took longer than allowed", "time")
        try:
            code = child.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise ChildLostError("it took longer than allowed", "time") from error
    return _read(answer, code, limits)


@contextlib.contextmanager
def _child() -> "Iterator[subprocess.Popen[bytes]]":
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", str(CHILD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
        cwd="/",
        bufsize=0,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            # Its session: what it started goes with it, where it was allowed to start anything.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
        with child:
            pass


def _converse(
    child: "subprocess.Popen[bytes]",
    request: bytes,
    most_bytes: int,
    deadline: float,
    cancelled: Callable[[], bool],
) -> bytes | None:
    """Send the request, return all of the answer, up to one byte beyond its bound; None out of time."""
    if child.stdin is None or child.stdout is None:
        raise ChildLostError("it has no pipes", "failed")
    with contextlib.suppress(BrokenPipeError):
        # The child reads the whole line before it does anything.
        child.stdin.write(request)
    with contextlib.suppress(BrokenPipeError):
        child.stdin.close()
    waiter = select.poll()
    waiter.register(child.stdout, select.POLLIN)
    answer = bytearray()
    while len(answer) <= most_bytes:
        if not waiter.poll(min(LOOK_S, max(0.0, deadline - time.monotonic())) * 1000):
            if cancelled():
                raise ChildLostError("it was cancelled", "cancelled")
            if time.monotonic() >= deadline:
                return None
            continue
        chunk = os.read(child.stdout.fileno(), CHUNK_BYTES)
        if not chunk:
            break
        answer += chunk
    else:
        child.kill()
    return bytes(answer)


def _read(answer: bytes, code: int, limits: ChildLimits) -> Any:  # noqa: ANN401  JSON
    if len(answer) > limits.answer_bytes:
        raise ChildLostError("its answer is larger than allowed", "answer")
    if code == -signal.SIGXCPU:
        raise ChildLostError("it took more processor time than allowed", "time")
    if code < 0:
        raise ChildLostError(f"it was ended by {signal.Signals(-code).name}", "killed")
    try:
        told = json.loads(answer)
    except ValueError as error:
        # Python that runs out of memory at an unlucky moment dies without an answer.
        raise ChildLostError(f"it ended without an answer, exit code {code}", "answer") from error
    if "answer" in told:
        return told["answer"]
    raise ChildLostError(f"it failed with {told['what']}", told["ending"])
