"""pip as a child process: it ends with its time and with the build, and is quiet about credentials."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from cloud_hub.images.build.errors import BuildCancelledError
from cloud_hub.images.build.target import Target

RUNNER: Final = Path(__file__).with_name("pip_for_target.py")
LOOK_S: Final = 0.25
REASON_LIMIT: Final = 600
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_QUERY = re.compile(r"\?[^\s'\"]+")
_QUIET = ("--quiet", "--no-input", "--disable-pip-version-check", "--progress-bar=off")


def pip_command(verb: str, target: Target, arguments: Sequence[str]) -> list[str]:
    """Return the command that runs ``pip verb`` for a target, with wheels only."""
    markers, chosen = "{}", []
    if not target.native:
        markers = json.dumps(target.markers())
        chosen = ["--python-version", target.python_full_version, "--implementation", "cp"]
        chosen += ["--abi", f"cp{target.python_version.replace('.', '')}", "--abi", "abi3", "--abi", "none"]
        chosen += [f"--platform={tag}" for tag in target.platform_tags()]
    return [sys.executable, str(RUNNER), markers, verb, *_QUIET, "--only-binary=:all:", *chosen, *arguments]


def run_to_end(command: Sequence[str], *, timeout_s: float, cancelled: Callable[[], bool]) -> tuple[int, str]:
    """Run a program; return its exit code and what it said on stderr.

    It and its children are killed when the time is over (`subprocess.TimeoutExpired`) or the build is
    cancelled (`BuildCancelledError`).
    """
    until = time.monotonic() + timeout_s
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | {"NO_COLOR": "1", "PYTHONWARNINGS": "ignore", "LC_ALL": "C.UTF-8"},
        start_new_session=True,
    ) as child:
        try:
            while not cancelled():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    _, stderr = child.communicate(timeout=LOOK_S)
                    return child.returncode, stderr.decode(errors="replace")
                if time.monotonic() > until:
                    raise subprocess.TimeoutExpired(list(command), timeout_s)
        finally:
            with contextlib.suppress(ProcessLookupError):  # nothing happens to one that has ended
                os.killpg(child.pid, signal.SIGKILL)
    raise BuildCancelledError("the build was cancelled", where=Path(command[0]).name, fix="Start it again.")


def reason_in(stderr: str) -> str:
    """Return the errors that pip told, on one line, without credentials."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    said = " · ".join(dict.fromkeys(errors)) if errors else (lines or ["it gave no reason"])[-1]
    return _QUERY.sub("?…", _CREDENTIALS.sub("****@", said))[:REASON_LIMIT]
