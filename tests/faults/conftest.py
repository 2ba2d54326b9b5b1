"""A folder with a short path, and a test process that adopts the containers of a killed agent."""

import contextlib
import ctypes
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

PR_SET_CHILD_SUBREAPER = 36
IN_OWN_MOUNTS = "HEADLAND_TEST_IN_OWN_MOUNTS"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path: a socket's may have 107 bytes. Orphans become ours meanwhile."""
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory(prefix="hl-f-") as name:
        yield Path(name)
    prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test of a module with `OWN_MOUNTS` in a process whose mounts no container of another can hold.

    A container that starts anywhere on the machine takes all mounts that it sees with it, and a disk without
    power cannot be mounted anew while one of them lives.
    """
    if not getattr(pyfuncitem.module, "OWN_MOUNTS", False) or IN_OWN_MOUNTS in os.environ:
        return None
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-m", "pytest", "-q"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", pyfuncitem.nodeid],
        cwd=pyfuncitem.config.rootpath,
        env=env | {IN_OWN_MOUNTS: "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.fail(done.stdout[-8000:], pytrace=False)
    if pyfuncitem.get_closest_marker("soak") is not None:
        capture = pyfuncitem.config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled() if capture is not None else contextlib.nullcontext():
            sys.stdout.write(done.stdout)
    return True
