"""The program of a confined child; started by `agent.confinement.run`, by path, with ``-I -S``.

One line of JSON comes on stdin; ``module.confined(request)`` is called once all limits are set, and one JSON
object is the answer: ``{"answer": ...}``, or ``{"ending": "memory" | "failed", "what": type}``.
"""

import importlib
import json
import os
import resource
import sys
from typing import Any


def perform(asked: dict[str, Any]) -> dict[str, Any]:
    """Import our code, give up every right that it does not need, and let it work."""
    try:
        sys.path.extend(path for path in asked["paths"] if path not in sys.path)
        rights = importlib.import_module("agent.confinement.rights")
        work = importlib.import_module(asked["module"])
        rights.end_with_parent(asked["parent"])
        rights.give_up(folders=asked["folders"], files=asked["files"])
        _limit(asked["limits"])
        return {"answer": work.confined(asked["request"])}
    except MemoryError:
        return {"ending": "memory", "what": "MemoryError"}
    except Exception as error:
        # Its type, and nothing of the input.
        return {"ending": "failed", "what": type(error).__name__}


def _limit(limits: dict[str, int]) -> None:
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_FSIZE, limits["file_bytes"]),
        (resource.RLIMIT_NOFILE, limits["open_files"]),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(kind, (value, value))
    # SIGXCPU at the soft limit tells the agent why.
    resource.setrlimit(resource.RLIMIT_CPU, (limits["cpu_s"], limits["cpu_s"] + 1))


def main() -> None:
    """Do one piece of work."""
    asked = json.loads(sys.stdin.buffer.readline())
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    answers.write(json.dumps(perform(asked)).encode())
    answers.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
