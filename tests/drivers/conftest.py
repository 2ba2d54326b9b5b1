"""Fixtures of the drivers' tests."""

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drivers.python_layer import make_python_layer
from tests.drivers.rig import Rig, is_missing
from tests.registry import engines


@pytest.fixture(scope="session")
def layers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """Return two layers: Python, and the test's program above it."""
    folder = tmp_path_factory.mktemp("layers")
    runtime, program = folder / "python", folder / "program"
    for layer in (runtime, program):
        layer.mkdir(mode=0o755)
    make_python_layer(runtime)
    (program / "app").mkdir()
    shutil.copy(Path(__file__).with_name("program.py"), program / "app/program.py")
    return runtime, program


@pytest.fixture(scope="session")
def docker() -> Iterator[Path]:
    """Docker's engine, one for all tests: its socket."""
    with engines.docker_socket() as address:
        yield address


@pytest.fixture(scope="session")
def podman() -> Iterator[Path]:
    """Podman's engine, one for all tests: its socket."""
    with engines.podman_socket() as address:
        yield address


@pytest.fixture
def rig(request: pytest.FixtureRequest, tmp_path: Path, layers: tuple[Path, ...]) -> Iterator[Rig]:
    """Return a rig of the kind that the test asks for; afterwards nothing of it runs."""
    if request.param not in {"fake", "process"} and (missing := is_missing(request.param)):
        pytest.skip(missing)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "listener.sock"))
    listener.listen(16)
    engine = request.getfixturevalue(request.param) if request.param in {"docker", "podman"} else None
    rig = Rig(request.param, tmp_path, layers, listener, engine)
    yield rig
    rig.clear()
