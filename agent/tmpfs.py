"""File systems in memory (tmpfs), mounted and left again. Needs root."""

import subprocess
from pathlib import Path
from typing import Final

ENVIRONMENT: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
COMMAND_TIMEOUT_S: Final = 20.0


def mount(place: Path, name: str, options: str) -> bool:
    """Mount a tmpfs at the folder ``place``; return whether it is there now."""
    return _run("mount", "-t", "tmpfs", "-o", options, name, str(place))


def unmount(place: Path) -> None:
    """Take a mount away, at once for who comes later; nothing happens where there is none."""
    if place.is_mount():
        _run("umount", "-l", str(place))


def _run(*command: str) -> bool:
    """Run a command; return whether it did what it was asked to."""
    try:
        done = subprocess.run(
            command,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
