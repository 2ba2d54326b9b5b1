"""Deletes what a module filled."""

import logging
import shutil
import subprocess
from pathlib import Path

log = logging.getLogger(__name__)

TIMEOUT_S = 60.0


def delete(folder: Path) -> bool:
    """Delete a folder however deep it is, without following a link; return whether nothing of it is left.

    `shutil.rmtree` recurses, and a module can make folders deeper than Python may: then `rm` does it.
    """
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return True
    except RecursionError:
        return _by_rm(folder)
    except OSError as error:
        log.warning("%s cannot be deleted whole: %s", folder, error.strerror)
        return False
    return True


def _by_rm(folder: Path) -> bool:
    command = ["rm", "-rf", "--one-file-system", "--", str(folder.absolute())]
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("%s cannot be deleted whole: %s", folder, type(error).__name__)
        return False
    return True
