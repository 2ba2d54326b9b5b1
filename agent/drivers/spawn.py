"""Starts a process without forking Python: `os.posix_spawn` is safe beside other threads."""

import contextlib
import fcntl
import os
import signal
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from contract.agent_api import LISTEN_FD

POLL_S = 0.003
DEFAULT_SIGNALS = (
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGCHLD,
)


def spawn(command: Sequence[str], env: Mapping[str, str], *, log: Path, listeners: Collection[int]) -> int:
    """Start ``command`` (an absolute path first) in a session of its own; return its process id.

    Descriptors: 0 is /dev/null, 1 and 2 append to ``log``, from 3 on ``listeners``, no others.
    """
    end = LISTEN_FD + len(listeners)
    spares: list[int] = []
    try:
        for listener in listeners:  # beyond those that the actions below overwrite
            spares.append(fcntl.fcntl(listener, fcntl.F_DUPFD_CLOEXEC, end))
        actions: list[tuple[object, ...]] = [
            *((os.POSIX_SPAWN_DUP2, spare, LISTEN_FD + index) for index, spare in enumerate(spares)),
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ]
        return _spawn(command, env, actions, end)
    finally:
        for spare in spares:
            os.close(spare)


def spawn_writing(command: Sequence[str], env: Mapping[str, str], output: int) -> int:
    """Start ``command`` likewise; descriptors 1 and 2 are copies of ``output`` (above 2)."""
    actions: list[tuple[object, ...]] = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_DUP2, output, 2),
    ]
    return _spawn(command, env, actions, 3)


def _spawn(
    command: Sequence[str], env: Mapping[str, str], actions: Iterable[tuple[object, ...]], end: int
) -> int:
    """Start ``command`` with descriptors as ``actions`` say, and none from ``end`` on."""
    return os.posix_spawn(
        command[0],
        list(command),
        env,
        file_actions=[*actions, *((os.POSIX_SPAWN_CLOSE, descriptor) for descriptor in _handed_down(end))],
        setsid=True,
        setsigmask=(),
        setsigdef=DEFAULT_SIGNALS,
    )


def _handed_down(end: int) -> list[int]:
    """Return the descriptors from ``end`` on that whoever started the agent left open for its children."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        descriptor = int(entry.name)
        with contextlib.suppress(OSError):  # closed since, by another thread or as the listing's own
            if descriptor >= end and os.get_inheritable(descriptor):
                found.append(descriptor)
    return found


def reap(pid: int) -> int | None:
    """Return how our child ``pid`` ended (128 + n for signal n), or None while it runs.

    Raises `ChildProcessError` where it is not our child, or was reaped already.
    """
    done, status = os.waitpid(pid, os.WNOHANG)
    if done == 0:
        return None
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
