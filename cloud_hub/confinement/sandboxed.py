"""The first program in a sandbox; started by `cloud_hub.confinement.sandbox`, by path.

It takes the limits upon itself, says that the sandbox stands, and becomes the program that it is given:
``sandboxed.py '{"memory_bytes": ...}' PROGRAM ARGUMENT...``. Standard library only.
"""

import json
import os
import resource
import sys

READY = b"ready\n"
KILLED_FIRST = "1000"


def limit(limits: dict[str, int]) -> None:
    """Set the kernel's limits on this process and all that it starts, soft and hard."""
    # Out of memory, the kernel shall take this before anything of the hub.
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as stream:  # noqa: PTH123  few imports
        stream.write(KILLED_FIRST)
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_FSIZE, limits["file_bytes"]),
        (resource.RLIMIT_NOFILE, limits["open_files"]),
        # Set here and not before: in its own user namespace, the kernel counts the sandbox's alone.
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_CPU, limits["cpu_s"]),
    ):
        resource.setrlimit(kind, (value, value))
    os.umask(0o022)


def main() -> None:
    """Become the program."""
    limit(json.loads(sys.argv[1]))
    os.write(1, READY)
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606  there is no shell to be had


if __name__ == "__main__":
    main()
