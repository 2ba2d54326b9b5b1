"""The program of a confined child; started by `cloud_hub.confinement.run`, by path.

It runs with ``-I -S``: no environment, no site-packages, no .pth file is looked at. One line of
JSON comes on stdin, ``{"limits": {...}, "paths": [...], "module": name, "request": {...}}``; the
limits are set, then ``module.confined(request)`` is called, and one JSON object is the answer:
``{"answer": ...}``, or ``{"ending": "memory" | "failed", "what": type}``. Standard library only.
"""

import ctypes
import importlib
import json
import os
import resource
import signal
import sys
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38


def limit(limits: dict[str, int]) -> None:
    """Set the kernel's limits on this process, soft and hard."""
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((PR_SET_PDEATHSIG, signal.SIGKILL), (PR_SET_NO_NEW_PRIVS, 1)):
        if libc.prctl(option, int(value), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_FSIZE, limits["file_bytes"]),
        (resource.RLIMIT_NOFILE, limits["open_files"]),
    ):
        resource.setrlimit(kind, (value, value))
    if not limits["may_fork"]:
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    # SIGXCPU at the soft limit tells the hub why; the hard one cannot be caught.
    resource.setrlimit(resource.RLIMIT_CPU, (limits["cpu_s"], limits["cpu_s"] + 1))
    os.umask(0o077)


def perform(asked: dict[str, Any]) -> dict[str, Any]:
    """Import the module and let it work."""
    try:
        sys.path.extend(path for path in asked["paths"] if path not in sys.path)
        return {"answer": importlib.import_module(asked["module"]).confined(asked["request"])}
    except MemoryError:
        return {"ending": "memory", "what": "MemoryError"}
    except Exception as error:
        # Whatever it is, the hub is told its type and nothing of the input.
        return {"ending": "failed", "what": type(error).__name__}


def main() -> None:
    """Do one piece of work."""
    asked = json.loads(sys.stdin.buffer.readline())
    # What a library prints must not stand in the answer.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    limit(asked["limits"])
    answers.write(json.dumps(perform(asked)).encode())
    answers.flush()
    # At once: interpreter shutdown could still run out of memory, and has nothing left to do.
    os._exit(0)


if __name__ == "__main__":
    main()
