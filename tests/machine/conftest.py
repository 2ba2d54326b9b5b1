"""A device of one's own for each test."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulators.demo.stage import Daemon
from tests.machine.device import Enrolled


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path: a socket's may have 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="hl-m-") as name:
        yield Path(name)


@pytest.fixture
def device(folder: Path) -> Enrolled:
    """An enrolled device whose hub cannot be reached."""
    return Enrolled(folder / "d")


@pytest.fixture
def daemon(device: Enrolled) -> Iterator[Daemon]:
    """Its agent, running."""
    daemon = device.daemon()
    daemon.start("driver")
    yield daemon
    daemon.stop()
