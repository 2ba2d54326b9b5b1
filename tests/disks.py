"""A small real disk, to be filled."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, size: str, image: Path | None = None) -> Iterator[Path]:
    """Mount a file system of ``size`` (as mount(8) has it, such as 64k) at a folder, for a while.

    It is in memory, or ext4 in the new file ``image``.
    """
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    folder.mkdir(exist_ok=True)
    if image is None:
        mount = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs"]
    else:
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", str(image), size], check=True)
        mount = ["-o", "loop", str(image)]
    subprocess.run(["mount", *mount, str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
