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
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloud_hub.images.build.errors import BuildCancelledError, WheelDownloadError
from cloud_hub.images.build.target import Target

RUNNER: Final = Path(__file__).with_name("pip_for_target.py")
LOOK_S: Final = 0.25
REASON_LIMIT: Final = 600
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_QUERY = re.compile(r"\?[^\s'\"]+")
_QUIET = ("--quiet", "--no-input", "--disable-pip-version-check", "--progress-bar=off")


def pip_command(
    verb: str, target: Target, arguments: Sequence[str], *, sources: Path | None = None
) -> list[str]:
    """Return the command that runs ``pip verb`` for a target, with wheels only.

    With a folder for ``sources``, it ends at the first source archive that pip chooses (`FOUND`), which is
    then in the folder; of wheels any version is better.
    """
    chosen = ["--only-binary=:all:"] if sources is None else ["--prefer-binary"]
    asked = {
        "markers": {} if target.native else target.markers(),
        "sources": str(sources) if sources is not None else "",
    }
    if not target.native:
        chosen += ["--python-version", target.python_full_version, "--implementation", "cp"]
        chosen += ["--abi", f"cp{target.python_version.replace('.', '')}", "--abi", "abi3", "--abi", "none"]
        chosen += [f"--platform={tag}" for tag in target.platform_tags()]
    return [sys.executable, str(RUNNER), json.dumps(asked), verb, *_QUIET, *chosen, *arguments]


@dataclass(frozen=True)
class Pip:
    """pip for a target, which ends with its time and with the build."""

    target: Target
    timeout_s: float
    cancelled: Callable[[], bool]

    def run(self, verb: str, arguments: Sequence[str], *, sources: Path | None = None) -> tuple[int, str]:
        """Return its exit code and what it said on stderr; raises `WheelDownloadError` out of time."""
        command = pip_command(verb, self.target, arguments, sources=sources)
        try:
            return run_to_end(command, timeout_s=self.timeout_s, cancelled=self.cancelled)
        except (OSError, subprocess.SubprocessError) as error:
            raise WheelDownloadError(
                f"pip did not finish within {self.timeout_s:.0f} s",
                where="requirements",
                fix="Look at the network and pip's configuration, then build again.",
            ) from error


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
    return without_credentials(said)[:REASON_LIMIT]


def without_credentials(text: str) -> str:
    """Return a text without what addresses in it may hold of them."""
    return _QUERY.sub("?…", _CREDENTIALS.sub("****@", text))
