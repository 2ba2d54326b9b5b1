"""An index of packages without wheels, and what builds them."""

import dataclasses
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from cloud_hub.images.build import PipWheelSource, Wheel
from cloud_hub.images.build.bases import native_target
from cloud_hub.images.build.pip_run import Pip
from cloud_hub.images.build.requirements import read_requirements
from cloud_hub.images.build.sources.build import BUILDING, SourceBuilder
from cloud_hub.images.build.target import Target
from cloud_hub.images.build.wheel_cache import WheelCache
from tests.images.sdists import index_of

QUICK = dataclasses.replace(BUILDING, wall_s=120.0, processes=64)
OTHER = Target("linux/arm64", native_target().python_full_version, "glibc 2.36")


@pytest.fixture(autouse=True)
def _with_bubblewrap() -> None:
    """Skip where there is no bubblewrap."""
    if shutil.which("bwrap") is None:
        pytest.skip("needs bubblewrap")


@pytest.fixture(scope="session")
def setuptools(pytestconfig: pytest.Config) -> Path:
    """A wheel of setuptools, downloaded once for as long as pytest's cache lives."""
    assert pytestconfig.cache is not None
    folder = Path(pytestconfig.cache.mkdir("headland-setuptools"))
    if not list(folder.glob("*.whl")):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "setuptools", "-d"]
        subprocess.run([*command, str(folder)], check=True)
    return sorted(folder.glob("*.whl"))[-1]


@pytest.fixture
def small_index(tmp_path: Path, setuptools: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All that pip can take: setuptools, and what a test puts there."""
    folder = index_of(tmp_path / "index", (), monkeypatch)
    shutil.copy(setuptools, folder)
    return folder


@pytest.fixture(scope="module")
def of_server(wheels_dir: Path) -> tuple[Wheel, ...]:
    """The wheels of the scoring server."""
    return PipWheelSource(wheels_dir).wheels(native_target())


@pytest.fixture
def index(small_index: Path, of_server: tuple[Wheel, ...], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Those of the scoring server too."""
    return index_of(small_index, of_server, monkeypatch)


def builder(folder: Path, cancelled: Callable[[], bool] = lambda: False, **limits: float) -> SourceBuilder:
    """Return a builder with short limits."""
    folder.mkdir(exist_ok=True)
    pip = Pip(native_target(), 120, cancelled)
    return SourceBuilder(WheelCache(folder), pip, limits=dataclasses.replace(QUICK, **limits))  # type: ignore[arg-type]


def wheels_for(
    cache: Path, lines: str, *, allowed: bool = True, target: Target | None = None
) -> dict[str, Wheel]:
    """Return by name what satisfies a list of requirements."""
    wanted = read_requirements("requirements", lines.encode())
    source = PipWheelSource(cache, wanted=wanted, allow_source_builds=allowed, source_limits=QUICK)
    found = source.wheels(target or native_target())
    return {one.filename.partition("-")[0]: one for one in found}


def sleepers(seconds: str) -> list[psutil.Process]:
    """Return the processes of `sleep` with that argument."""
    found = psutil.process_iter(["cmdline"])
    return [one for one in found if (one.info["cmdline"] or [])[:2] == ["sleep", seconds]]
