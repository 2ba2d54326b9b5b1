"""Packages that do harm, or too much, while they are built."""

import json
import os
import socket
import subprocess
import sys
import tarfile
from pathlib import Path

import psutil
import pytest

from cloud_hub.images.build.errors import (
    BuildCancelledError,
    SourceBuildFailedError,
    SourceBuildUnavailableError,
)
from tests.activities.waiting import until
from tests.images.sdists import ESCAPES, backed, told_by
from tests.images.source_builds import _with_bubblewrap as _with_bubblewrap  # noqa: PLC0414  fixtures
from tests.images.source_builds import (
    builder,
    sleepers,
)
from tests.images.source_builds import index as index  # noqa: PLC0414
from tests.images.source_builds import of_server as of_server  # noqa: PLC0414
from tests.images.source_builds import setuptools as setuptools  # noqa: PLC0414
from tests.images.source_builds import small_index as small_index  # noqa: PLC0414

pytestmark = pytest.mark.system


def test_an_evil_package_gets_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: the same code, not in a sandbox, does all of it."""
    monkeypatch.setenv("HEADLAND_CANARY", "secret")
    hub = tmp_path / "hub"
    hub.mkdir()
    (hub / "master.key").write_bytes(b"secret")
    seconds = f"{700 + os.getpid()}.5"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        targets = {
            "secret": str(hub / "master.key"),
            "folder": str(hub),
            "marker": str(tmp_path / "marker"),
            "port": listener.getsockname()[1],
            "sleep": seconds,
            "process": os.getpid(),
        }
        archive = backed(tmp_path, "hl_evil", ESCAPES, files={"targets.json": json.dumps(targets)})
        done = told_by(builder(hub / "cache").build(archive))
        until(lambda: not sleepers(seconds), "the end of what it started")
        assert {what for what, could in done.items() if could} == {"starts"}
        assert not (tmp_path / "marker").exists()

        with tarfile.open(archive.path) as tar:
            tar.extractall(tmp_path / "outside", filter="data")
        script = "import own, json; print(json.dumps(own.does()))"
        folder = tmp_path / "outside/hl_evil-1.0"
        control = subprocess.check_output([sys.executable, "-c", script], cwd=folder)
        (left,) = sleepers(seconds)
        left.kill()
    assert all(json.loads(control).values()), control
    assert (tmp_path / "marker").exists()


FORKS = """
import time


def does():
    count = 0
    try:
        while count < 100:
            if os.fork() == 0:
                time.sleep(60)
                os._exit(0)
            count += 1
    except BlockingIOError:
        pass
    return count
"""


def test_forking_forever_ends_at_the_limit(tmp_path: Path) -> None:
    assert 30 < told_by(builder(tmp_path / "one").build(backed(tmp_path, "hl_forks", FORKS))) < 64
    wider = builder(tmp_path / "two", processes=200)
    assert told_by(wider.build(backed(tmp_path, "hl_forks", FORKS))) == 100


def test_a_build_that_never_ends_is_ended(tmp_path: Path) -> None:
    archive = backed(tmp_path, "hl_slow", "import time\ntime.sleep(600)\n")
    with pytest.raises(SourceBuildFailedError, match="longer than allowed") as caught:
        builder(tmp_path / "cache", wall_s=1.0).build(archive)
    assert caught.value.where == "hl-slow 1.0"
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cancelled_build_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    seconds = f"{800 + os.getpid()}.5"
    code = f"import subprocess\nsubprocess.run(['sleep', '{seconds}'])\n"
    began: list[psutil.Process] = []

    def cancelled() -> bool:
        began.extend(sleepers(seconds))
        return bool(began)

    with pytest.raises(BuildCancelledError):
        builder(tmp_path / "cache", cancelled).build(backed(tmp_path, "hl_slow", code))
    until(lambda: not sleepers(seconds), "the end of the build")
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_error_has_the_last_lines_of_the_build(tmp_path: Path) -> None:
    code = "import sys\nprint('on stdout\\x1b[0m', flush=True)\n"
    code += "sys.exit('http://ann:very-secret@x/ is what I need')\n"
    with pytest.raises(SourceBuildFailedError, match="is what I need") as caught:
        builder(tmp_path / "cache").build(backed(tmp_path, "hl_breaks", code))
    assert "on stdout" in str(caught.value)
    assert "very-secret" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_without_bubblewrap_there_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = backed(tmp_path, "hl_any")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceBuildUnavailableError, match=r"bwrap is not installed.*apt install bubblewrap"):
        builder(tmp_path / "cache").build(archive)
