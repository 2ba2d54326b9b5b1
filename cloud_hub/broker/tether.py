"""Run as a script: ties itself to its parent's life, then becomes the program it was given.

A child that sets this up for itself before `exec` needs no code between `fork` and `exec` in the
hub, where other threads may hold locks (`subprocess`'s ``preexec_fn`` is unsafe there). On Linux
the kernel then sends SIGTERM when the hub's event-loop thread ends, even by SIGKILL (prctl(2),
PR_SET_PDEATHSIG); elsewhere the pid file alone finds a server left behind.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """``tether.py PARENT_PID PROGRAM ARGUMENTS...``."""
    parent, program = int(sys.argv[1]), sys.argv[2]
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
    # The parent may have died before the call above; then nobody would send the signal.
    if os.getppid() != parent:
        raise SystemExit("the hub has ended")
    os.umask(0o077)
    os.execv(program, [program, *sys.argv[3:]])  # noqa: S606  a fixed list of arguments, no shell wanted


if __name__ == "__main__":
    main()
