"""What the children of these tests do: each function is a way to misbehave."""

import ctypes
import os
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def confined(request: dict[str, Any]) -> Any:
    """Do what ``request["do"]`` names."""
    return globals()[request["do"]](request)


def echo(request: dict[str, Any]) -> Any:
    print("noise of a library")
    return request["value"]


def spin(_: dict[str, Any]) -> None:
    while True:
        pass


def sleep(_: dict[str, Any]) -> None:
    time.sleep(600)


def eat(request: dict[str, Any]) -> int:
    return len(bytearray(request["bytes"]))


def crash(_: dict[str, Any]) -> None:
    ctypes.string_at(0)


def recurse(request: dict[str, Any]) -> None:
    recurse(request)


def talk(request: dict[str, Any]) -> str:
    return "x" * int(request["bytes"])


def silent(_: dict[str, Any]) -> None:
    os._exit(0)


def write(request: dict[str, Any]) -> None:
    Path(request["path"]).write_bytes(b"x")


def hold(_: dict[str, Any]) -> None:
    found = [socket.socket() for _ in range(100)]
    found.clear()


def secrets(_: dict[str, Any]) -> dict[str, Any]:
    status = Path("/proc/self/status").read_text()
    return {
        "environment": dict(os.environ),
        "descriptors": [path.name for path in Path("/proc/self/fd").iterdir()],
        "no_new_privileges": "NoNewPrivs:\t1" in status,
        "arguments": sys.orig_argv[1:-1],
        "core": resource.getrlimit(resource.RLIMIT_CORE),
    }


def fork(_: dict[str, Any]) -> str:
    os.setresuid(65534, 65534, 65534)
    try:
        subprocess.run(["/bin/true"], check=False)
    except OSError as error:
        return type(error).__name__
    return "forked"


def start_and_wait(request: dict[str, Any]) -> None:
    with subprocess.Popen(["sleep", request["seconds"]]):
        pass
