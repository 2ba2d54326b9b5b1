"""Containers whose exit codes are held by a process of their own (`agent.drivers.holder`), one for each."""

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

from agent.drivers.port import DriverUnavailableError
from agent.drivers.proc import ProcessStat, stat_of
from agent.drivers.process_record import read_record, still_runs
from agent.drivers.spawn import POLL_S, reap, spawn

RECORD: Final = "holder"
PID_FILE: Final = "pid"
NOTHING_HELD: Final = 255
PROGRAM: Final = Path(__file__).with_name("holder.py")


def hold(
    kind: Literal["orphans", "child"],
    command: Sequence[str],
    env: Mapping[str, str],
    *,
    own: Path,
    log: Path,
    listeners: Collection[int],
) -> int:
    """Start ``command`` under a holder whose record is in the folder ``own``; return the holder's id.

    With ``orphans`` the command ends, and has written the id of what it left to ``own/pid``; the holder
    ends too where it failed, with its exit code. Descriptors are as in `spawn`.
    """
    sleep = shutil.which("sleep")
    if sleep is None:
        raise DriverUnavailableError(
            "there is no sleep on the PATH", where="driver", fix="Install coreutils."
        )
    words = [sys.executable, "-I", "-S", str(PROGRAM), kind, str(own / RECORD), str(own / PID_FILE), sleep]
    return spawn([*words, *command], env, log=log, listeners=listeners)


def await_held(pid: int, own: Path, timeout_s: float) -> int | None:
    """Wait until the holder ``pid`` holds its process: 0, or the exit code with which it ended before.

    None, and all that it started killed, when that takes too long.
    """
    deadline = time.monotonic() + timeout_s
    while _read(own)[0] is None:
        if (code := reap(pid)) is not None:
            return code or NOTHING_HELD
        if time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return None
        time.sleep(POLL_S)
    return 0


def exit_code(own: Path) -> int | None:
    """Return how the held process ended (128 + n for signal n); None while it runs, or where unknown."""
    holder, child = _read(own)
    ended = stat_of(child) if holder is not None and still_runs(holder) else None
    if holder is None or ended is None or ended.state != "Z" or ended.parent != holder.pid:
        return None
    code = os.waitstatus_to_exitcode(ended.wait_status)
    return code if code >= 0 else 128 - code


def let_go(own: Path) -> None:
    """End the holder, and with it the last that is left of an ended process; no error where there is none."""
    holder, child = _read(own)
    now = stat_of(holder.pid) if holder is not None else None
    if holder is None or now is None or now.started_ticks != holder.started_ticks:
        return
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(holder.pid)
        try:
            # Looked at after the descriptor is held: it cannot become another process any more.
            if still_runs(holder):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        finally:
            os.close(descriptor)
    with contextlib.suppress(ChildProcessError):  # the child of an agent before this one
        os.waitpid(holder.pid, 0)
        # It is ours now where the agent adopts orphans, as the first process of a container does.
        os.waitpid(child, os.WNOHANG)


def _read(own: Path) -> tuple[ProcessStat | None, int]:
    holder, rest = read_record(own / RECORD)
    if holder is None or len(rest) != 1 or not rest[0].isdigit():
        return None, 0
    return holder, int(rest[0])
