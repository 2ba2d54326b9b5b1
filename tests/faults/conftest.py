"""A folder with a short path, and a test process that adopts the containers of a killed agent."""

import ctypes
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path: a socket's may have 107 bytes. Orphans become ours meanwhile."""
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory(prefix="hl-f-") as name:
        yield Path(name)
    prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
