"""Runs a program that nobody trusts in a sandbox, and takes its answer."""

import contextlib
import dataclasses
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from cloud_hub.confinement.bubblewrap import BWRAP, sandbox_command
from cloud_hub.confinement.errors import ChildLostError
from cloud_hub.confinement.limits import SandboxLimits
from cloud_hub.confinement.sandboxed import READY

FIRST: Final = Path(__file__).with_name("sandboxed.py")
PLACE: Final = "/headland/sandboxed.py"
PATH: Final = "/usr/bin:/bin:/usr/sbin:/sbin"
CHUNK_BYTES: Final = 64 * 1024
SAID_BYTES: Final = 16 * 1024
LOOK_S: Final = 0.1


@dataclass(frozen=True)
class Ended:
    """How a program ended: its exit code, and the last that it said on stderr."""

    code: int
    said: str


def run_sandboxed(
    python: Path,
    program: Sequence[str],
    *,
    visible: Mapping[str, Path],
    environment: Mapping[str, str],
    limits: SandboxLimits,
    answer: BinaryIO,
    cancelled: Callable[[], bool] = lambda: False,
) -> Ended:
    """Run ``program`` in a sandbox until it ends; what it writes on stdout goes into ``answer``.

    ``visible`` are folders and files by their place inside, read-only; ``python`` is one that can be
    seen there. Blocks, so call it in a thread; ``cancelled`` is asked a few times a second. Raises
    `ChildLostError` of the endings time, answer, cancelled and unavailable; in every case nothing that
    ran in the sandbox is left.
    """
    first = [str(python), "-I", "-S", PLACE, json.dumps(dataclasses.asdict(limits)), *program]
    command = sandbox_command(first, {**visible, PLACE: FIRST}, work_bytes=limits.work_bytes)
    heard = _Heard(answer, limits.answer_bytes)
    with _started(command, environment) as child:
        _listen(child, heard, time.monotonic() + limits.wall_s, cancelled)
        code = child.wait()
    if not heard.ready:
        reason = (heard.said.strip().splitlines() or ["it gave no reason"])[-1]
        raise ChildLostError(f"bubblewrap makes no sandbox: {reason}", "unavailable")
    return Ended(code, heard.said)


class _Heard:
    """What came out of a sandbox: that it stands, the answer, and the end of what was said."""

    def __init__(self, answer: BinaryIO, most_bytes: int) -> None:
        self._answer, self._left_bytes = answer, most_bytes
        self._begin, self._tail = b"", b""

    @property
    def ready(self) -> bool:
        return self._begin == READY

    @property
    def said(self) -> str:
        return self._tail.decode(errors="replace")

    def answered(self, data: bytes) -> None:
        if not self.ready:
            missing = len(READY) - len(self._begin)
            self._begin, data = self._begin + data[:missing], data[missing:]
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            raise ChildLostError("its answer is larger than allowed", "answer")
        self._answer.write(data)

    def told(self, data: bytes) -> None:
        self._tail = (self._tail + data)[-SAID_BYTES:]


@contextlib.contextmanager
def _started(command: Sequence[str], environment: Mapping[str, str]) -> "Iterator[subprocess.Popen[bytes]]":
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": PATH, **environment},
            cwd="/",
            bufsize=0,
            start_new_session=True,
        )
    except OSError as error:
        raise ChildLostError(f"{BWRAP} cannot be started: {error.strerror}", "unavailable") from error
    try:
        yield child
    finally:
        # bubblewrap's own processes; the sandbox's first process ends with them, and all others with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        with child:
            pass


def _listen(
    child: "subprocess.Popen[bytes]", heard: _Heard, deadline: float, cancelled: Callable[[], bool]
) -> None:
    """Hear all that is said until both streams end, or the program has and nothing more comes."""
    if child.stdout is None or child.stderr is None:
        raise ChildLostError("it has no pipes", "failed")
    hears = {child.stdout.fileno(): heard.answered, child.stderr.fileno(): heard.told}
    waiter = select.poll()
    for stream in hears:
        waiter.register(stream, select.POLLIN)
    while hears:
        ended = child.poll() is not None
        ready = waiter.poll(0 if ended else LOOK_S * 1000)
        if cancelled():
            raise ChildLostError("it was cancelled", "cancelled")
        if time.monotonic() >= deadline:
            raise ChildLostError("it took longer than allowed", "time")
        for stream, _ in ready:
            data = os.read(stream, CHUNK_BYTES)
            hears[stream](data)
            if not data:
                waiter.unregister(stream)
                del hears[stream]
        if ended and not ready:
            return
