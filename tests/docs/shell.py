"""A bash that is typed into, block by block, and leaves no process behind."""

import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

PR_SET_CHILD_SUBREAPER = 36
STOP_TIMEOUT_S = 30.0
END = "--end of block--"


class ShellError(AssertionError):
    """A block ended with an error; the message holds what it printed."""


class Shell:
    """``bash`` with ``errexit`` and ``pipefail``; what it put into the background goes on between blocks."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        # What is orphaned comes to us, so `left` sees containers whose agent has ended too.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._before = children()
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-o", "errexit", "-o", "pipefail", "-s"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.close()
        self._bash.stdout.close()
        self._bash.wait(STOP_TIMEOUT_S)

    def type(self, block: str) -> str:
        """Type a block and return what it printed; raises `ShellError` where a command of it fails."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write(f"{block}\necho; echo '{END}'\n")
        self._bash.stdin.flush()
        printed: list[str] = []
        for line in self._bash.stdout:
            if line.rstrip("\n") == END:
                return "".join(printed).strip("\n")
            printed.append(line)
        raise ShellError(
            f"failed with exit code {self._bash.wait(STOP_TIMEOUT_S)}:\n{block}\n{''.join(printed)}"
        )

    def end(self) -> list[int]:
        """End what runs in the shell's group, then whatever else is left; return what had to be killed."""
        left = self._left()
        for number, wait_s in ((signal.SIGTERM, STOP_TIMEOUT_S), (signal.SIGKILL, STOP_TIMEOUT_S)):
            deadline = time.monotonic() + wait_s
            running = self._left()
            for pid in running:
                os.kill(pid, number)
            while self._left() and time.monotonic() < deadline:
                time.sleep(0.05)
        return left

    def _left(self) -> list[int]:
        """Reap what has ended; return our other children that came since the start, but for bash."""
        found = []
        for pid in children() - self._before - {self._bash.pid}:
            if os.waitpid(pid, os.WNOHANG)[0] == 0:
                found.append(pid)
        return found


def children() -> set[int]:
    """Return the children of all threads of this process."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        found |= {int(pid) for pid in (task / "children").read_text().split()}
    return found
