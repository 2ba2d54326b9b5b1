"""The program that runs in the containers of these tests; its first argument says what it does."""

import fcntl
import json
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

MIB = 1024 * 1024
DATA = Path(__file__).parents[1] / "data"  # a process without a root of its own has it elsewhere


def facts() -> dict[str, Any]:
    """Return what this process sees of itself and of its container."""
    status = Path("/proc/self/status").read_text().splitlines()
    maps = Path("/proc/self/maps").read_text().splitlines()
    devices = Path("/proc/net/dev").read_text().splitlines()[2:]
    return {
        "pid": os.getpid(),
        "env": dict(os.environ),
        "args": sys.argv,
        "cwd": str(Path.cwd()),
        "status": dict(line.split(":\t", 1) for line in status if ":\t" in line),
        "fds": sorted(path.name for path in Path("/proc/self/fd").iterdir()),
        "libc": next(line.split()[-1] for line in maps if "libc.so" in line),
        "namespaces": {path.name: str(path.readlink()) for path in Path("/proc/self/ns").iterdir()},
        "interfaces": [line.split(":")[0].strip() for line in devices],
        "up": [path.parent.name for path in Path("/sys/class/net").glob("*/flags") if is_up(path)],
        "core": Path("/proc/self/limits").read_text(),
        "data": sorted(path.relative_to(DATA).as_posix() for path in DATA.rglob("*")),
    }


def is_up(flags: Path) -> bool:
    """Return whether an interface's flags hold IFF_UP."""
    return bool(int(flags.read_text(), 16) & 1)


def fetch_listeners() -> None:
    """Where nothing could be inherited: ask for the sockets, and lay them where they would be."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(os.environ["HEADLAND_LISTENERS"])
        names, found, _, _ = socket.recv_fds(line, 4096, 32)
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in found]
    for fd in found:
        os.close(fd)
    for index, fd in enumerate(high):
        os.dup2(fd, 3 + index)
        os.close(fd)
    count, process = str(len(found)), str(os.getpid())
    os.environ |= {"LISTEN_FDS": count, "LISTEN_FDNAMES": names.decode(), "LISTEN_PID": process}


def serve() -> None:
    """Answer each connection of descriptor 3 with the facts; SIGTERM ends it with code 7."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    names = os.environ["LISTEN_FDNAMES"].split(":")
    listeners = {socket.socket(fileno=3 + index): name for index, name in enumerate(names)}
    print("serving", flush=True)
    print("a word on stderr", file=sys.stderr, flush=True)
    while True:
        for listener in select.select(listeners, [], [])[0]:
            listener.setblocking(True)
            connection, _ = listener.accept()
            with connection:
                connection.sendall(json.dumps({"listener": listeners[listener], **facts()}).encode())


def stubborn() -> None:
    """Ignore SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("serving", flush=True)
    time.sleep(600)


def abandon() -> None:
    """Leave a child behind that would serve on."""
    if os.fork() == 0:
        serve()
    print("abandoned", flush=True)


def look(*words: str) -> None:
    """Say what is seen; leave with code 4."""
    print(json.dumps(facts() | {"words": words}), flush=True)
    sys.exit(4)


def linger() -> None:
    """Start children that leave in every way that they can, and stay."""
    for leaves_session in (False, True, True):
        if os.fork() == 0:
            if leaves_session:
                os.setsid()
            if os.fork() == 0:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(600)
    print("lingers", flush=True)
    time.sleep(600)


def flood() -> None:
    """Print without end."""
    while True:
        os.write(1, b"x" * 65536)


def eat(megabytes: str) -> None:
    """Take memory and touch it."""
    eaten = []
    for _ in range(int(megabytes)):
        eaten.append(b"x" * MIB)
    print(f"ate {len(eaten)}", flush=True)


def breed(megabytes: str) -> None:
    """Start a child that takes memory, and is the first to be killed for it; say how it ended, and stay."""
    if os.fork() == 0:
        Path("/proc/self/oom_score_adj").write_text("1000")
        eat(megabytes)
        os.kill(os.getpid(), signal.SIGKILL)
    print(f"its child ended with {os.wait()[1]}", flush=True)
    time.sleep(600)


def fork(count: str) -> None:
    """Start children and say how many there are."""
    children = 0
    for _ in range(int(count)):
        try:
            pid = os.fork()
        except OSError:
            break
        if pid == 0:
            time.sleep(5)
            os._exit(0)
        children += 1
    print(json.dumps({"children": children}), flush=True)
    os.kill(0, signal.SIGKILL)


def write() -> None:
    """Try to write in several places and say what came of it."""
    results = {}
    for path in sys.argv[2:]:
        try:
            Path(path).write_text("x")
            results[path] = "written"
        except OSError as error:
            results[path] = error.strerror or "?"
    print(json.dumps(results), flush=True)


def syscalls() -> None:
    """Try what a container must not do; say the error number of each (0: it worked)."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    numbers = {"x86_64": (165, 272, 101, 321, 248, 56), "aarch64": (40, 97, 117, 280, 217, 220)}
    mount, unshare, ptrace, bpf, add_key, clone = numbers[os.uname().machine]
    results = {}

    def call(name: str, number: int, *arguments: Any) -> None:
        result = libc.syscall(ctypes.c_long(number), *arguments)
        results[name] = ctypes.get_errno() if result == -1 else 0
        if name == "clone-newuser" and result == 0:
            os._exit(0)

    call("mount", mount, b"none", b"/tmp", b"tmpfs", 0, None)
    for name, flag in {"newuser": 0x10000000, "newns": 0x20000}.items():
        call(f"unshare-{name}", unshare, ctypes.c_long(flag))
    call("ptrace", ptrace, 0, 0, None, None)
    call("bpf", bpf, 0, None, 0)
    call("add_key", add_key, b"user", b"name", b"value", 5, -2)
    call("clone-newuser", clone, ctypes.c_long(0x10000000 | signal.SIGCHLD), None, None, None, None)
    kinds = {"alg": (38, 5), "raw": (2, 3), "packet": (17, 3), "netlink": (16, 3), "vsock": (40, 1)}
    for name, (family, kind) in (kinds | {"unix": (1, 1), "tcp": (2, 1), "udp6": (10, 2)}).items():
        try:
            socket.socket(family, kind, 0).close()
            results[f"socket-{name}"] = 0
        except OSError as error:
            results[f"socket-{name}"] = error.errno or -1
    print(json.dumps(results), flush=True)


def spin(cpu_s: str) -> None:
    """Use so many seconds of CPU time; say how long that took."""
    begun, end = time.monotonic(), time.process_time() + float(cpu_s)
    while time.process_time() < end:
        pass
    print(json.dumps({"took_s": time.monotonic() - begun}), flush=True)


def chatter(pause_s: str = "0.0005") -> None:
    """Print numbered lines of 80 bytes, 40 at a time, until SIGTERM."""
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
    number = 0
    while not stopping:
        os.write(1, b"".join(b"%09d %s\n" % (number + i, b"x" * 69) for i in range(40)))
        number += 40
        time.sleep(float(pause_s))
    os.write(1, b"%09d the end\n" % number)


if __name__ == "__main__":
    word = sys.argv[1]
    if "HEADLAND_LISTENERS" in os.environ and word in {"serve", "abandon"}:
        fetch_listeners()
    if word == "exit":
        sys.exit(int(sys.argv[2]))
    elif word in {"look", "chatter"}:
        globals()[word](*sys.argv[2:])
    elif word in {"write", "syscalls", "serve", "stubborn", "abandon", "linger", "flood"}:
        globals()[word]()
    else:
        {"eat": eat, "breed": breed, "fork": fork, "spin": spin}[word](sys.argv[2])
