"""What a confined child tries: it says what came off. Run in a child, and as the control."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def confined(request: dict[str, Any]) -> dict[str, Any]:
    """Try what is asked for, or all of it."""
    attempts: dict[str, Callable[[], object]] = {
        "write in the folder": lambda: Path(request["folder"], "new").write_text("x"),
        "link in the folder": lambda: _link(Path(request["folder"])),
        "write to the file": lambda: Path(request["file"]).write_text("x"),
        "write elsewhere": lambda: Path(request["elsewhere"], "new").write_text("x"),
        "write to another file": lambda: Path(request["elsewhere"], "there").write_text("x"),
        "truncate another file": lambda: os.truncate(Path(request["elsewhere"], "there"), 0),
        "make a pipe in the folder": lambda: os.mkfifo(Path(request["folder"], "pipe")),
        "move out of the folder": lambda: Path(request["folder"], "new").rename(
            Path(request["elsewhere"], "moved")
        ),
        "connect by TCP": lambda: socket.create_connection(("127.0.0.1", request["port"]), 2).close(),
        "start a program": lambda: subprocess.run(["/bin/true"], check=True),
        "signal the agent": lambda: os.kill(request["pid"], 0),
        "take much memory": lambda: bytearray(400 * 1024**2),
        "open many files": lambda: [os.open("/dev/null", os.O_RDONLY) for _ in range(100)],
        "gain privileges": _may_gain_privileges,
    }
    if request.get("what") == "die":
        os.kill(os.getpid(), 9)
    if request.get("what") == "spin":
        while True:
            pass
    if request.get("what") == "talk":
        return {"much": "x" * 100_000}
    if request.get("what") == "fail":
        raise ValueError("s3cret-canary")
    if request.get("what") == "memory":
        bytearray(400 * 1024**2)
    return {name: _comes_off(attempt) for name, attempt in attempts.items()}


def _link(folder: Path) -> None:
    (folder / "a").mkdir()
    (folder / "b").mkdir()
    (folder / "a/file").write_text("x")
    (folder / "b/link").hardlink_to(folder / "a/file")
    (folder / "c").symlink_to("a")


def _may_gain_privileges() -> None:
    status = dict(line.split(":\t") for line in Path("/proc/self/status").read_text().splitlines())
    if int(status["NoNewPrivs"]) or not int(status["CapEff"], 16) & ~2:
        raise PermissionError


def _comes_off(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except (OSError, MemoryError, subprocess.SubprocessError):
        return False
    return True


if __name__ == "__main__":
    import json

    print(json.dumps(confined(json.loads(sys.argv[1]))))
